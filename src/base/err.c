/* SPDX-License-Identifier: MIT */
/*
 * err: names and sentences, independent of the locale and of the C library.
 *
 * Invariants: both tables are indexed by code, so a lookup is one load; a hole has no name.
 */
#include "base/err.h"

#include <stddef.h>

struct err {
	const char *name, *text;
};

#define ERR(code, text) [code] = { #code, text }

static const struct err of_linux[] = {
	ERR(EPERM, "operation not permitted"),
	ERR(ENOENT, "no such file or directory"),
	ERR(ESRCH, "no such process"),
	ERR(EINTR, "interrupted system call"),
	ERR(EIO, "input/output error"),
	ERR(ENXIO, "no such device or address"),
	ERR(E2BIG, "argument list too long"),
	ERR(ENOEXEC, "exec format error"),
	ERR(EBADF, "bad file descriptor"),
	ERR(ECHILD, "no child processes"),
	ERR(EAGAIN, "try again"),
	ERR(ENOMEM, "out of memory"),
	ERR(EACCES, "permission denied"),
	ERR(EFAULT, "bad address"),
	ERR(ENOTBLK, "block device required"),
	ERR(EBUSY, "device or resource busy"),
	ERR(EEXIST, "file exists"),
	ERR(EXDEV, "invalid cross-device link"),
	ERR(ENODEV, "no such device"),
	ERR(ENOTDIR, "not a directory"),
	ERR(EISDIR, "is a directory"),
	ERR(EINVAL, "invalid argument"),
	ERR(ENFILE, "too many open files in system"),
	ERR(EMFILE, "too many open files"),
	ERR(ENOTTY, "inappropriate ioctl for device"),
	ERR(ETXTBSY, "text file busy"),
	ERR(EFBIG, "file too large"),
	ERR(ENOSPC, "no space left on device"),
	ERR(ESPIPE, "illegal seek"),
	ERR(EROFS, "read-only file system"),
	ERR(EMLINK, "too many links"),
	ERR(EPIPE, "broken pipe"),
	ERR(EDOM, "numerical argument out of domain"),
	ERR(ERANGE, "numerical result out of range"),
	ERR(EDEADLK, "resource deadlock avoided"),
	ERR(ENAMETOOLONG, "file name too long"),
	ERR(ENOLCK, "no locks available"),
	ERR(ENOSYS, "function not implemented"),
	ERR(ENOTEMPTY, "directory not empty"),
	ERR(ELOOP, "too many levels of symbolic links"),
	ERR(ENOMSG, "no message of desired type"),
	ERR(EIDRM, "identifier removed"),
	ERR(ECHRNG, "channel number out of range"),
	ERR(EL2NSYNC, "level 2 not synchronized"),
	ERR(EL3HLT, "level 3 halted"),
	ERR(EL3RST, "level 3 reset"),
	ERR(ELNRNG, "link number out of range"),
	ERR(EUNATCH, "protocol driver not attached"),
	ERR(ENOCSI, "no CSI structure available"),
	ERR(EL2HLT, "level 2 halted"),
	ERR(EBADE, "invalid exchange"),
	ERR(EBADR, "invalid request descriptor"),
	ERR(EXFULL, "exchange full"),
	ERR(ENOANO, "no anode"),
	ERR(EBADRQC, "invalid request code"),
	ERR(EBADSLT, "invalid slot"),
	ERR(EBFONT, "bad font file format"),
	ERR(ENOSTR, "device not a stream"),
	ERR(ENODATA, "no data available"),
	ERR(ETIME, "timer expired"),
	ERR(ENOSR, "out of streams resources"),
	ERR(ENONET, "machine is not on the network"),
	ERR(ENOPKG, "package not installed"),
	ERR(EREMOTE, "object is remote"),
	ERR(ENOLINK, "link has been severed"),
	ERR(EADV, "advertise error"),
	ERR(ESRMNT, "srmount error"),
	ERR(ECOMM, "communication error on send"),
	ERR(EPROTO, "protocol error"),
	ERR(EMULTIHOP, "multihop attempted"),
	ERR(EDOTDOT, "RFS specific error"),
	ERR(EBADMSG, "bad message"),
	ERR(EOVERFLOW, "value too large for defined data type"),
	ERR(ENOTUNIQ, "name not unique on network"),
	ERR(EBADFD, "file descriptor in bad state"),
	ERR(EREMCHG, "remote address changed"),
	ERR(ELIBACC, "cannot access a needed shared library"),
	ERR(ELIBBAD, "accessing a corrupted shared library"),
	ERR(ELIBSCN, ".lib section in a.out corrupted"),
	ERR(ELIBMAX, "attempting to link in too many shared libraries"),
	ERR(ELIBEXEC, "cannot exec a shared library directly"),
	ERR(EILSEQ, "invalid or incomplete multibyte or wide character"),
	ERR(ERESTART, "interrupted system call should be restarted"),
	ERR(ESTRPIPE, "streams pipe error"),
	ERR(EUSERS, "too many users"),
	ERR(ENOTSOCK, "socket operation on non-socket"),
	ERR(EDESTADDRREQ, "destination address required"),
	ERR(EMSGSIZE, "message too long"),
	ERR(EPROTOTYPE, "protocol wrong type for socket"),
	ERR(ENOPROTOOPT, "protocol not available"),
	ERR(EPROTONOSUPPORT, "protocol not supported"),
	ERR(ESOCKTNOSUPPORT, "socket type not supported"),
	ERR(EOPNOTSUPP, "operation not supported"),
	ERR(EPFNOSUPPORT, "protocol family not supported"),
	ERR(EAFNOSUPPORT, "address family not supported by protocol"),
	ERR(EADDRINUSE, "address already in use"),
	ERR(EADDRNOTAVAIL, "cannot assign requested address"),
	ERR(ENETDOWN, "network is down"),
	ERR(ENETUNREACH, "network is unreachable"),
	ERR(ENETRESET, "network dropped connection on reset"),
	ERR(ECONNABORTED, "connection aborted"),
	ERR(ECONNRESET, "connection reset by peer"),
	ERR(ENOBUFS, "no buffer space available"),
	ERR(EISCONN, "transport endpoint is already connected"),
	ERR(ENOTCONN, "transport endpoint is not connected"),
	ERR(ESHUTDOWN, "cannot send after transport endpoint shutdown"),
	ERR(ETOOMANYREFS, "too many references: cannot splice"),
	ERR(ETIMEDOUT, "timed out"),
	ERR(ECONNREFUSED, "connection refused"),
	ERR(EHOSTDOWN, "host is down"),
	ERR(EHOSTUNREACH, "no route to host"),
	ERR(EALREADY, "operation already in progress"),
	ERR(EINPROGRESS, "operation now in progress"),
	ERR(ESTALE, "stale file handle"),
	ERR(EUCLEAN, "structure needs cleaning"),
	ERR(ENOTNAM, "not a XENIX named type file"),
	ERR(ENAVAIL, "no XENIX semaphores available"),
	ERR(EISNAM, "is a named type file"),
	ERR(EREMOTEIO, "remote I/O error"),
	ERR(EDQUOT, "disk quota exceeded"),
	ERR(ENOMEDIUM, "no medium found"),
	ERR(EMEDIUMTYPE, "wrong medium type"),
	ERR(ECANCELED, "operation cancelled"),
	ERR(ENOKEY, "required key not available"),
	ERR(EKEYEXPIRED, "key has expired"),
	ERR(EKEYREVOKED, "key has been revoked"),
	ERR(EKEYREJECTED, "key was rejected by service"),
	ERR(EOWNERDEAD, "owner died"),
	ERR(ENOTRECOVERABLE, "state not recoverable"),
	ERR(ERFKILL, "operation not possible due to RF-kill"),
	ERR(EHWPOISON, "memory page has hardware error"),
};

static const struct err of_ringlet[] = {
	[RL_ECLOSED - RL_ECLOSED] = { "ECLOSED", "closed" },
	[RL_EOF - RL_ECLOSED] = { "EOF", "end of stream" },
	[RL_ECANCEL - RL_ECLOSED] = { "ECANCELLED", "cancelled" },
	[RL_ELOST - RL_ECLOSED] = { "ELOST", "lost" },
};

#define LINUX_CODES (sizeof of_linux / sizeof *of_linux)
#define RINGLET_CODES (sizeof of_ringlet / sizeof *of_ringlet)

_Static_assert(LINUX_CODES <= RL_ECLOSED, "the library's codes lie above every errno");

static const struct err unknown = { "EUNKNOWN", "unknown error" };

static const struct err *find(int code)
{
	unsigned n = code < 0 ? 0u - (unsigned)code : (unsigned)code;
	const struct err *e = &unknown;
	if (n < LINUX_CODES)
		e = &of_linux[n];
	else if (n - RL_ECLOSED < RINGLET_CODES)
		e = &of_ringlet[n - RL_ECLOSED];
	return e->name ? e : &unknown;
}

const char *rl_err_name(int code)
{
	return find(code)->name;
}

const char *rl_err_text(int code)
{
	return find(code)->text;
}
