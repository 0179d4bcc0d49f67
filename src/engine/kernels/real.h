// The scalar, in any dialect: REAL, and R(c), a constant of it.
#if DOUBLE
#define REAL double
#define R(c) c
#else
#define REAL float
#define R(c) c##f
#endif
