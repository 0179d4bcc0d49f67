// The neutral words of the kernels in CUDA C++ for NVRTC. WIDTH is 1.
#define KERNEL(x) extern "C" __global__ __launch_bounds__(x)
// A kernel of which a multiprocessor runs one group at a time: it may use all registers.
#define LONE_KERNEL(x) extern "C" __global__ __launch_bounds__(x, 1)
// Not static: NVRTC warns of static functions that a kernel does not use.
#define DEVICE __device__ __forceinline__
#define GLOBAL
// LOAD_LANES requires this alignment.
#define SHARED __shared__ __align__(16)
#define LOCAL
#define BARRIER __syncthreads()
#define FULL_BARRIER __syncthreads()
#define ITEM ((int)threadIdx.x)
// The second dimension is folded into the third; see cuda/launch.rs.
#define GROUP(d) ((int)((d) == 0 ? blockIdx.x : blockIdx.y + blockIdx.z * gridDim.y))
#define GROUPS(d) ((int)((d) == 0 ? gridDim.x : gridDim.y * gridDim.z))
#define HIGH_PRODUCT(a, b) __umulhi(a, b)
typedef long long INDEX;
typedef unsigned int WORD;
typedef unsigned long long WIDE_WORD;
#define BITS(x) __float_as_uint(x)
// By hand, because NVRTC comes without the header that defines `half`.
#define STORE_F16(x, to) asm("cvt.rn.f16.f32 %0, %1;" : "=h"(*(to)) : "f"(x))
#define LOAD_F16(to, from) asm("cvt.f32.f16 %0, %1;" : "=f"(to) : "h"(*(from)))
#define SINGLE(bits) __uint_as_float(bits)
typedef REAL REALV;
#define LOAD(p) (*(p))
#define STORE(v, p) (*(p) = (v))
// Loads 16 bytes of shared memory at once.
#if DOUBLE
#define LOAD_LANES(to, from)                        \
    {                                               \
        const double2 q = *(const double2 *)(from); \
        (to)[0] = q.x, (to)[1] = q.y;               \
    }
#else
#define LOAD_LANES(to, from)                                              \
    {                                                                     \
        const float4 q = *(const float4 *)(from);                         \
        (to)[0] = q.x, (to)[1] = q.y, (to)[2] = q.z, (to)[3] = q.w;       \
    }
#endif
#define UNROLL _Pragma("unroll")
#define INFINITY __int_as_float(0x7f800000)
