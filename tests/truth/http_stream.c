/* A server for ceilings only: Triton's generate_stream as fast as a compiled server sends it, on one core.
 *
 * `http_stream PER_PACKET`: prints {"http_port": N}, answers every POST with as many events as the body's "max_tokens"
 * says, PER_PACKET of them in one send, connections in turn. Chunked coding, keep-alive. It checks nothing and logs
 * nothing: timing is checked against the truth server in Python. Built by `python -m tests.bench.streams`.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 4096, MOST_REQUEST = 1 << 20, MOST_PACKET = 1 << 16 };

struct connection {
    char *request;
    size_t length;
    long left, next;       /* events to send, number of the next one */
    char packet[4096];
    size_t packet_size, packet_sent;
    int head_due, end_due; /* the head, and the last chunk, are still to be sent */
};

static struct connection *connections[MOST_CONNECTIONS];
static int per_packet = 1;
static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";

static size_t write_event(char *to, long number) {
    char event[160];
    int size = snprintf(event, sizeof event,
                        "data: {\"model_name\":\"ensemble\",\"model_version\":\"1\",\"text_output\":\" t%ld\"}\n\n", number);
    return (size_t)sprintf(to, "%x\r\n%s\r\n", size, event);
}

static void fill(struct connection *c) {
    size_t size = 0;
    if (c->head_due) {
        memcpy(c->packet, HEAD, sizeof HEAD - 1);
        size = sizeof HEAD - 1;
        c->head_due = 0;
    }
    for (int k = 0; k < per_packet && c->left > 0; k++, c->left--) size += write_event(c->packet + size, c->next++);
    if (c->left == 0 && c->end_due) {
        memcpy(c->packet + size, "0\r\n\r\n", 5);
        size += 5;
        c->end_due = 0;
    }
    c->packet_size = size;
    c->packet_sent = 0;
}

/* One packet; 1 while there is more to send, 0 when done or when the socket is full, -1 when the peer is gone. */
static int send_one(int fd, struct connection *c) {
    if (c->packet_sent == c->packet_size) {
        if (c->left == 0 && !c->end_due) return 0;
        fill(c);
    }
    ssize_t sent = send(fd, c->packet + c->packet_sent, c->packet_size - c->packet_sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    c->packet_sent += (size_t)sent;
    return c->packet_sent < c->packet_size || c->left > 0 || c->end_due;
}

static int receive(int fd, struct connection *c) {
    ssize_t got = recv(fd, c->request + c->length, MOST_REQUEST - c->length - 1, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : -1;
    c->length += (size_t)got;
    c->request[c->length] = 0;
    char *body = strstr(c->request, "\r\n\r\n"), *size = strstr(c->request, "Content-Length: ");
    if (!body || !size || (long)(c->length - (size_t)(body + 4 - c->request)) < atol(size + 16)) return 0;
    char *asked = strstr(body, "\"max_tokens\":");
    c->left = asked ? atol(asked + 13) : 1;
    c->next = 0;
    c->head_due = c->end_due = 1;
    c->length = 0;
    return 0;
}

static void drop(int fd) {
    close(fd);
    free(connections[fd]->request);
    free(connections[fd]);
    connections[fd] = NULL;
}

int main(int count, char **arguments) {
    if (count > 1) per_packet = atoi(arguments[1]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0), one = 1;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("{\"http_port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (int busy = 0, highest = 0;;) {
        int ready = epoll_wait(poll, events, 256, busy ? 0 : -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                if (connections[fd] && receive(fd, connections[fd]) < 0) drop(fd);
                continue;
            }
            int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (accepted < 0 || accepted >= MOST_CONNECTIONS) continue;
            setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            connections[accepted] = calloc(1, sizeof **connections);
            connections[accepted]->request = malloc(MOST_REQUEST);
            if (accepted > highest) highest = accepted;
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = accepted};
            epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
        }
        busy = 0;
        for (int fd = 0; fd <= highest; fd++) {
            if (!connections[fd]) continue;
            int more = send_one(fd, connections[fd]);
            if (more < 0) drop(fd);
            busy |= more > 0 || (connections[fd] && connections[fd]->packet_sent < connections[fd]->packet_size);
        }
    }
}
