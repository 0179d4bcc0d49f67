// The neutral words of the kernels in CUDA C++ for NVRTC. WIDTH is 1.
#define KERNEL(x) extern "C" __global__ __launch_bounds__(x)
// Not static: a static function that a kernel has no use for is warned of.
#define DEVICE __device__ __forceinline__
#define GLOBAL
#define SHARED __shared__
#define LOCAL
#define BARRIER __syncthreads()
#define ITEM ((int)threadIdx.x)
// The second side is folded into the third, as cuda/launch.rs does it.
#define GROUP(d) ((int)((d) == 0 ? blockIdx.x : blockIdx.y + blockIdx.z * gridDim.y))
#define GROUPS(d) ((int)((d) == 0 ? gridDim.x : gridDim.y * gridDim.z))
#define HIGH_PRODUCT(a, b) __umulhi(a, b)
typedef long long INDEX;
typedef unsigned int WORD;
typedef unsigned long long WIDE_WORD;
typedef REAL REALV;
#define LOAD(p) (*(p))
#define STORE(v, p) (*(p) = (v))
#define INFINITY __int_as_float(0x7f800000)
