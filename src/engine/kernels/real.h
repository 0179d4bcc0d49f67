// The scalar in every dialect: REAL, and R(c), its constants.
#if DOUBLE
#define REAL double
#define R(c) c
#else
#define REAL float
#define R(c) c##f
#endif
