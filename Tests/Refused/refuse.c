/* refuse.c - runs a program to which one system call is refused, and says how it ended.
 *
 *   refuse NUMBER ERRNO SECONDS RESULT FOLDER PROGRAM ARGUMENT...
 *
 * NUMBER: of the call; NUMBER,INDEX,VALUE: only where its argument INDEX is VALUE. The program runs
 * in a PID namespace, in which this is process 1, so nothing that it leaves can get away. FOLDER
 * becomes an empty file system of its own, the program's working directory, and so does /dev/shm.
 * Descriptor RESULT gets one line: "exit N" or "signal N" or "hang", then the number of processes
 * and of files that were left. A number of -1 refuses nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long what was told to end may take to do so. */
#define GRACE_S 3.0

static void check(int status, const char *what)
{
    if (status >= 0)
        return;
    fprintf(stderr, "refuse: %s: %s\n", what, strerror(errno));
    exit(99);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    check(fd, path);
    check((int)write(fd, text, strlen(text)), path);
    close(fd);
}

/* Namespaces without being root: as root of a user namespace. */
static void become_root(void)
{
    char map[64];
    unsigned user = geteuid(), group = getegid();
    if (user == 0)
        return;
    check(unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)");
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", user);
    write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %u 1", group);
    write_file("/proc/self/gid_map", map);
}

static void install(long number, long index, unsigned value, unsigned error)
{
    struct sock_filter code[6];
    unsigned short length = 0;
    unsigned at = (unsigned)(offsetof(struct seccomp_data, args) + (size_t)index * 8);
    /* The low half of an argument comes first where the byte order is little-endian. */
    code[length++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0,
                                                  index < 0 ? 1 : 3);
    if (index >= 0) {
        code[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at);
        code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = length, .filter = code};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
}

static int entries(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (folder)
        closedir(folder);
    return count;
}

/* Process 1: starts the program, waits for its end and for that of all that came of it. */
static void preside(char *arguments[], double seconds, int result)
{
    const char *folder = arguments[5];
    long number = -1, index = -1;
    unsigned value = 0, error = (unsigned)atoi(arguments[2]);
    (void)sscanf(arguments[1], "%ld,%ld,%u", &number, &index, &value);
    check(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount /");
    check(mount("proc", "/proc", "proc", 0, NULL), "mount /proc");
    check(mount("tmpfs", folder, "tmpfs", 0, NULL), "mount the folder");
    check(mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL), "mount /dev/shm");
    check(chdir(folder), "chdir");
    setenv("TMPDIR", folder, 1);
    int program = open(arguments[6], O_PATH | O_CLOEXEC);
    check(program, arguments[6]);
    pid_t child = fork();
    check(child, "fork");
    if (child == 0) {
        fcntl(result, F_SETFD, FD_CLOEXEC);
        if (number >= 0)
            install(number, index, value, error);
        /* Not execve: that may be the call that is refused. */
        syscall(SYS_execveat, program, "", arguments + 6, environ, AT_EMPTY_PATH);
        _exit(98);
    }
    double end = now() + seconds;
    int status = 0, left = 0;
    bool over = false;
    for (;;) {
        int ended, each;
        while ((ended = waitpid(-1, &each, WNOHANG)) > 0)
            if (ended == child) {
                over = true;
                status = each;
                end = now() + GRACE_S;
            }
        left = kill(-1, 0) == 0;
        if ((over && !left) || now() > end)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    if (left) { /* count them */
        left = 0;
        DIR *processes = opendir("/proc");
        for (struct dirent *entry; processes && (entry = readdir(processes)) != NULL;)
            left += atoi(entry->d_name) > 1;
    }
    char line[96];
    int files = entries(folder) + entries("/dev/shm");
    if (!over)
        snprintf(line, sizeof line, "hang 0 %d %d\n", left, files);
    else
        snprintf(line, sizeof line, "%s %d %d %d\n", WIFEXITED(status) ? "exit" : "signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), left, files);
    check((int)write(result, line, strlen(line)), "result");
}

int main(int count, char *arguments[])
{
    if (count < 7) {
        fprintf(stderr, "refuse NUMBER ERRNO SECONDS RESULT FOLDER PROGRAM ARGUMENT...\n");
        return 64;
    }
    become_root();
    check(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC), "unshare");
    pid_t init = fork();
    check(init, "fork");
    if (init == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        preside(arguments, atof(arguments[3]), atoi(arguments[4]));
        _exit(0);
    }
    int status;
    while (waitpid(init, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}
