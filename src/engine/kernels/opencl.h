// The neutral words of the kernels in OpenCL C 1.2.
#define KERNEL(x) __kernel __attribute__((reqd_work_group_size(x, 1, 1)))
#define LONE_KERNEL(x) KERNEL(x)
// PoCL gives groups memory only where kernels themselves declare it, not the functions that they call.
#define DEVICE static inline __attribute__((always_inline))
#define GLOBAL __global
#define SHARED __local
#define LOCAL __local
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)
// For writes to GLOBAL memory that other items of the group have read.
#define FULL_BARRIER barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define ITEM ((int)get_local_id(0))
#define GROUP(d) ((int)get_group_id(d))
#define GROUPS(d) ((int)get_num_groups(d))
#define HIGH_PRODUCT(a, b) mul_hi((uint)(a), (uint)(b))
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#if FP64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
typedef long INDEX;
typedef uint WORD;
typedef ulong WIDE_WORD;
#define BITS(x) as_uint(x)
#define STORE_F16(x, to) vstore_half_rte(x, 0, (GLOBAL half *)(to))
#define LOAD_F16(to, from) ((to) = vload_half(0, (GLOBAL const half *)(from)))
#define SINGLE(bits) as_float(bits)
#if WIDTH == 1
typedef REAL REALV;
#define LOAD(p) (*(p))
#define STORE(v, p) (*(p) = (v))
#if DOUBLE
#define LOAD_LANES(to, from) vstore2(vload2(0, from), 0, to)
#else
#define LOAD_LANES(to, from) vstore4(vload4(0, from), 0, to)
#endif
#else
typedef PASTE(REAL, WIDTH) REALV;
#define LOAD(p) PASTE(vload, WIDTH)(0, p)
#define STORE(v, p) PASTE(vstore, WIDTH)(v, 0, p)
#endif
// Compilers for CPUs take long to unroll the loops of groups: PoCL 19 s instead of 2 s for the large tile.
#if defined(__x86_64__) || defined(__aarch64__)
#define UNROLL
#else
#define UNROLL _Pragma("unroll")
#endif
