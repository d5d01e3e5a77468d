/* The program of the tests' images: answers HTTP on $PORT, one request at a time, without a shell or a C library beside it. */
#include <arpa/inet.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static void answer(int client, const char *body) {
  dprintf(client, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n%s", strlen(body), body);
}

static void about(int client) {
  static char text[65536];
  char folder[4096];
  char *names = text + sprintf(text, "uid=%d gid=%d cwd=%s args=", getuid(), getgid(), getcwd(folder, sizeof folder));
  FILE *self = fopen("/proc/self/cmdline", "r");
  for (int c; self && (c = fgetc(self)) != EOF;) *names++ = c ? c : ' ';
  for (char **each = environ; *each; each++) names += sprintf(names, "\n%s", *each);
  answer(client, text);
}

static void keep(int client) {
  static char text[64];
  FILE *file = fopen("kept", "r+");
  if (!file) file = fopen("kept", "w+");
  if (!file) {
    answer(client, "refused");
    return;
  }
  int count = 0;
  if (fscanf(file, "%d", &count) != 1) count = 0;
  rewind(file);
  fprintf(file, "%d", count + 1);
  fclose(file);
  sprintf(text, "%d", count + 1);
  answer(client, text);
}

/* The whole answer of the local API of state, head and body. `token`: what its paths begin with. */
static const char *ask_state(const char *method, const char *token, const char *path) {
  static char text[65536];
  int port = 0, at = 0;
  sscanf(getenv("ALOFT_STATE_URL"), "http://127.0.0.1:%d", &port);
  int state = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(state, (struct sockaddr *)&address, sizeof address)) return "no connection";
  dprintf(state, "%s %s%s HTTP/1.1\r\nhost: state\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", method, token, path);
  for (ssize_t got; (got = read(state, text + at, sizeof text - 1 - at)) > 0;) at += got;
  text[at] = 0;
  close(state);
  return text;
}

static void count(int client) {
  static char text[256];
  const char *token = strchr(getenv("ALOFT_STATE_URL") + 7, '/');
  int stranger = 0, put = 0;
  sscanf(ask_state("POST", "", "/kv/s/count?by=1"), "HTTP/1.1 %d", &stranger);
  sscanf(ask_state("POST", token, "/kv/s/count?by=1"), "HTTP/1.1 %d", &put);
  const char *body = strstr(ask_state("GET", token, "/kv/s/count"), "\r\n\r\n");
  sprintf(text, "%d %d %.20s", stranger, put, body ? body + 4 : "");
  answer(client, text);
}

/* As entry points of many images do: a folder is given to a user, who then is whom the server runs as. */
static int become(uid_t user, gid_t group) {
  gid_t groups[] = {group, 44};
  if (mkdir("/own", 0700) || chown("/own", user, group) || chdir("/own")) return -1;
  return setgroups(2, groups) || setgid(group) || setuid(user) ? -1 : 0;
}

static void leave(int signal) {
  _exit(signal == SIGTERM ? 0 : 1);
}

int main(int given, char **arguments) {
  if (given > 1 && !strcmp(arguments[1], "fail")) {
    fprintf(stderr, "the database is missing\n");
    return 3;
  }
  if (given > 1 && !strcmp(arguments[1], "idle")) {
    for (;;) pause();
  }
  if (given > 3 && !strcmp(arguments[1], "become") && become(atoi(arguments[2]), atoi(arguments[3]))) {
    perror("become");
    return 4;
  }
  signal(SIGTERM, leave);
  int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
  if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 64)) {
    perror("listen");
    return 1;
  }
  printf("listening on %s\n", getenv("PORT"));
  fflush(stdout);
  for (;;) {
    int client = accept(server, 0, 0);
    static char request[65536];
    ssize_t bytes = read(client, request, sizeof request - 1);
    request[bytes > 0 ? bytes : 0] = 0;
    if (!strncmp(request, "GET /about ", 11)) about(client);
    else if (!strncmp(request, "GET /keep ", 10)) keep(client);
    else if (!strncmp(request, "GET /count ", 11)) count(client);
    else if (!strncmp(request, "GET /crash ", 11)) abort();
    else if (!strncmp(request, "GET /eat ", 9)) for (;;) memset(malloc(1 << 20), 1, 1 << 20);
    else answer(client, "hello from an image");
    close(client);
  }
}
