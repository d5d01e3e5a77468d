/* A server of a few lines of C: what any compiled program looks like to the platform. Answers one connection at a time. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void stop(int signal) {
  (void)signal;
  const char said[] = "asked to stop\n";
  if (write(1, said, sizeof said - 1) < 0) _exit(1);
  _exit(0);
}

int main(void) {
  const char *port = getenv("PORT");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port == NULL ? 0 : (unsigned short)atoi(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int listening = socket(AF_INET, SOCK_STREAM, 0);
  signal(SIGTERM, stop);
  if (bind(listening, (struct sockaddr *)&address, sizeof address) != 0 || listen(listening, 64) != 0) return 1;
  for (;;) {
    int client = accept(listening, NULL, NULL);
    if (client < 0) continue;
    char request[8192] = "";
    size_t length = 0;
    while (length < sizeof request - 1 && strstr(request, "\r\n\r\n") == NULL) {
      ssize_t got = read(client, request + length, sizeof request - 1 - length);
      if (got <= 0) break;
      length += (size_t)got;
      request[length] = 0;
    }
    char *line = strtok(request, "\r\n");
    char answer[9000];
    int size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\nC got: %s\n", line == NULL ? "nothing" : line);
    if (line != NULL && write(client, answer, (size_t)size) < 0) perror("write");
    close(client);
  }
}
