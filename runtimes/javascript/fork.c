// What Node.js cannot do by itself: fork. An addon whose serve() returns only in forks.
//
// The process that calls serve never runs user code and never reads a request; each fork serves one attempt. A fork
// has no thread but its own, so V8 must not count on others (--single-threaded), and it must end by _exit: at its own
// end Node.js would wait for threads that are not there.
//
// Node-API and libuv keep their binary interface: the few functions are declared here, and no headers are needed.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void *napi_env, *napi_value, *napi_callback_info, *uv_loop;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
int napi_add_env_cleanup_hook(napi_env, void (*)(void *), void *);
int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
int napi_create_int32(napi_env, int32_t, napi_value *);
int napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
int napi_get_uv_event_loop(napi_env, uv_loop *);
int napi_get_value_int32(napi_env, napi_value, int32_t *);
int napi_set_named_property(napi_env, napi_value, const char *, napi_value);
int uv_loop_fork(uv_loop);
void uv_update_time(uv_loop);

enum { CHANNEL = 3, REQUEST = 3, DESCRIPTORS = 4, METHODS = 48 };

static int result;

// full tells that V8 has no memory left, which ends a process by SIGABRT otherwise.
static void full(const char *location, const void *details) {
  static const char told[] = "F{\"reason\":\"OOMKilled\",\"message\":\"out of memory: the heap of JavaScript is full\"}";
  if (write(result, told, sizeof told - 1) < 0) _exit(74);
  _exit(0);
}

// watch has V8 say when its heap is full, if this version has the function. C++ names it by its types.
static void watch(void) {
  void *(*current)(void) = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
  void (*handle)(void *, void *) = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate18SetOOMErrorHandlerEPFvPKcRKNS_10OOMDetailsEE");
  if (current && handle) handle(current(), full);
}

static int no_workers(const void *platform) { return 0; }

// alone has V8 hand no part of its jobs to threads that forks do not have: it asks its platform, whose answer is
// replaced, how many there are. Without this a step that compiles WebAssembly would wait for one of them.
static void alone(void) {
  void **(*current)(void) = dlsym(RTLD_DEFAULT, "_ZN2v88internal2V818GetCurrentPlatformEv");
  void *workers = dlsym(RTLD_DEFAULT, "_ZN4node12NodePlatform21NumberOfWorkerThreadsEv");
  static void *methods[METHODS];
  if (!current || !workers) _exit(76);
  void **platform = current();
  memcpy(methods, (void **)*platform - 2, sizeof methods);  // what C++ keeps in front comes along
  int found = 0;
  for (int i = 2; i < METHODS; i++)
    if (methods[i] == workers && ++found) methods[i] = no_workers;
  if (found != 1) _exit(76);
  *platform = methods + 2;
}

// inherit lets forks have all memory: V8 keeps its heap out of them, as a fork usually runs another program.
static void inherit(void) {
  FILE *maps = fopen("/proc/self/maps", "re");
  unsigned long start, end;
  if (!maps) _exit(73);
  while (fscanf(maps, "%lx-%lx%*[^\n]", &start, &end) == 2)
    madvise((void *)start, end - start, MADV_DOFORK);  // refused for what is the kernel's own
  fclose(maps);
}

// receive waits for the byte R and its descriptors; without them there is no attempt.
static int receive(int *descriptors) {
  char byte, control[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
  struct iovec part = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got;
  do got = recvmsg(CHANNEL, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got != 1 || byte != 'R') return 0;
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  if (!rights || rights->cmsg_len != CMSG_LEN(DESCRIPTORS * sizeof(int))) return 0;
  memcpy(descriptors, CMSG_DATA(rights), DESCRIPTORS * sizeof(int));
  return 1;
}

// become makes this fork the process of an attempt: stdout and stderr are its own, descriptor 3 is the request.
static void become(uv_loop loop) {
  int got[DESCRIPTORS], target[] = {REQUEST, 1, 2};
  setsid();
  prctl(PR_SET_DUMPABLE, 1);  // nobody is there who could use it before the request comes
  if (uv_loop_fork(loop) != 0) _exit(70);
  if (!receive(got)) _exit(0);
  for (int i = 0; i < 3; i++) {
    dup3(got[i], target[i], target[i] < 3 ? 0 : O_CLOEXEC);
    close(got[i]);
  }
  result = got[3];
  uv_update_time(loop);  // timers would count from when the first process was ready
}

// serve forks for each attempt, ahead of it, and tells how it ended, and once, before all, that no attempt need wait: what
// they need was loaded before it was called. In a fork it returns the result's descriptor.
static napi_value serve(napi_env env, napi_callback_info info) {
  uv_loop loop;
  napi_get_uv_event_loop(env, &loop);
  alone();
  inherit();
  watch();
  prctl(PR_SET_DUMPABLE, 0);
  const char *ready = "ready\n";
  for (;;) {
    pid_t child = fork();
    if (child < 0) _exit(71);
    if (child == 0) {
      napi_value number;
      become(loop);
      napi_create_int32(env, result, &number);
      return number;
    }
    if (ready) send(CHANNEL, ready, strlen(ready), MSG_NOSIGNAL);  // a lost connection ends the fork
    ready = NULL;
    int status;
    while (waitpid(child, &status, 0) < 0)
      if (errno != EINTR) _exit(72);
    char line[32], next;
    int code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    int size = snprintf(line, sizeof line, "exited %d\n", code);
    if (send(CHANNEL, line, size, MSG_NOSIGNAL) != size) _exit(0);
    if (recv(CHANNEL, &next, 1, 0) != 1 || next != 'N') _exit(0);
  }
}

// streams puts a pipe in the place of stdout and stderr, as forks will find there: Node.js makes its streams by what it finds.
static napi_value streams(napi_env env, napi_callback_info info) {
  int ends[2];
  if (pipe(ends) != 0 || dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0) _exit(75);
  close(ends[0]);
  close(ends[1]);
  return NULL;
}

// seed is a number that no other fork has.
static napi_value seed(napi_env env, napi_callback_info info) {
  int32_t number = 0;
  napi_value found;
  while (getrandom(&number, sizeof number, 0) != sizeof number || number == 0) continue;
  napi_create_int32(env, number & INT32_MAX, &found);
  return found;
}

static napi_value pid(napi_env env, napi_callback_info info) {
  napi_value found;
  napi_create_int32(env, getpid(), &found);
  return found;
}

static napi_value end(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  int32_t code = 1;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  napi_get_value_int32(env, argument, &code);
  _exit(code);
}

static void finish(void *unused) { _exit(0); }

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  static const struct { const char *name; napi_callback call; } functions[] = {
      {"serve", serve}, {"streams", streams}, {"pid", pid}, {"seed", seed}, {"end", end}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, strlen(functions[i].name), functions[i].call, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  napi_add_env_cleanup_hook(env, finish, NULL);
  return exports;
}
