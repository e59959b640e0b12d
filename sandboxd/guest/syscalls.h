/* Bare system calls: what enter.c is made of, so that it works inside any
 * interpreter, whatever C library that has. Each returns a negative errno. */
#ifndef SANDBOXD_SYSCALLS_H
#define SANDBOXD_SYSCALLS_H

#include <sys/syscall.h>

static inline long call6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "this architecture has no system calls here yet"
#endif
}

#define CALL0(number) call6(number, 0, 0, 0, 0, 0, 0)
#define CALL1(number, a) call6(number, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(number, a, b) call6(number, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(number, a, b, c) call6(number, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(number, a, b, c, d) \
	call6(number, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CALL5(number, a, b, c, d, e) \
	call6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

#endif
