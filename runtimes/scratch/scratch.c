/* scratch SIZE exec|noexec PROGRAM ARGUMENT...
 *
 * Mounts the sandbox's writable memory, and becomes PROGRAM. It is the first program of main where a RuntimeClass brings
 * a kernel of its own, such as gVisor's: a volume would do the same 300 ms later, and /dev/shm has no limit of its own there.
 * It is no Go program, because a user namespace is entered by a process with one thread.
 *
 * User code gets no right by it: the capabilities of the new user namespace end with execve, as its one user is not root,
 * and what was mounted before cannot be uncovered by a further namespace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static const char place[] = "/dev/shm";

static void need(int done, const char *what)
{
	if (done)
		return;
	fprintf(stderr, "scratch: %s: %s; a RuntimeClass with citadel.dev/own-mounts must allow it\n", what, strerror(errno));
	_exit(1);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	need(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0, path);
}

int main(int argc, char **argv)
{
	unsigned uid = getuid(), gid = getgid(), flags = MS_NOSUID | MS_NODEV;
	char same[64], options[64];

	if (argc < 4) {
		fprintf(stderr, "usage: scratch SIZE exec|noexec PROGRAM ARGUMENT...\n");
		return 2;
	}
	if (strcmp(argv[2], "exec") != 0)
		flags |= MS_NOEXEC;
	need(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0, "a user namespace");
	snprintf(same, sizeof same, "%u %u 1", uid, uid);
	put("/proc/self/uid_map", same);
	put("/proc/self/setgroups", "deny"); /* or no group may be mapped */
	snprintf(same, sizeof same, "%u %u 1", gid, gid);
	put("/proc/self/gid_map", same);
	snprintf(options, sizeof options, "mode=1777,size=%s", argv[1]);
	need(mount("scratch", place, "tmpfs", flags, options) == 0, place);
	execv(argv[3], argv + 3);
	need(0, argv[3]);
}
