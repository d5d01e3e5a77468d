/* A custom runtime of AWS Lambda on plain sockets: asks for an event, answers {"language":"c","event":...}, again and again. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address;

/* One request on a connection of its own; the whole answer, ended by a NUL, in memory of its own. */
static char *ask(const char *request, size_t size) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) exit(1);
  while (size > 0) {
    ssize_t sent = write(fd, request, size);
    if (sent <= 0) exit(2);
    request += sent;
    size -= (size_t)sent;
  }
  size_t room = 65536, used = 0;
  char *answer = malloc(room);
  for (;;) {
    if (used + 1 == room) answer = realloc(answer, room *= 2);
    ssize_t got = read(fd, answer + used, room - used - 1);
    if (got <= 0) break;
    used += (size_t)got;
  }
  close(fd);
  answer[used] = 0;
  return answer;
}

int main(void) {
  char api[256];
  snprintf(api, sizeof api, "%s", getenv("AWS_LAMBDA_RUNTIME_API"));
  char *colon = strchr(api, ':');
  *colon = 0;
  address.sin_family = AF_INET;
  address.sin_port = htons((unsigned short)atoi(colon + 1));
  inet_pton(AF_INET, api, &address.sin_addr);
  for (;;) {
    const char *next = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: lambda\r\nConnection: close\r\n\r\n";
    char *answer = ask(next, strlen(next));
    char id[128] = "";
    const char *name = "lambda-runtime-aws-request-id: ";
    for (char *line = answer; *line != 0 && *line != '\r'; line = strstr(line, "\r\n") + 2) {
      if (strncasecmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), "%127[^\r]", id);
    }
    char *event = strstr(answer, "\r\n\r\n") + 4;
    size_t room = strlen(event) + 1024;
    char *body = malloc(room), *request = malloc(room * 2);
    int bytes = snprintf(body, room, "{\"language\":\"c\",\"event\":%s}", event);
    int size = snprintf(request, room * 2,
                        "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: lambda\r\n"
                        "Connection: close\r\nContent-Length: %d\r\n\r\n%s",
                        id, bytes, body);
    free(ask(request, (size_t)size));
    free(answer);
    free(body);
    free(request);
  }
}
