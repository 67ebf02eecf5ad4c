/* A server for ceilings only: Triton's ModelStreamInfer as fast as a compiled server sends it, on one core.
 *
 * `grpc_stream PER_PACKET`: prints {"port": N}, answers every call with as many responses as its `max_tokens` says,
 * PER_PACKET of them in one send, the streams of a connection in turn. HTTP/2 with one call per request (RFC 9113),
 * header blocks as literals, both directions' windows obeyed. It checks nothing and logs nothing: timing is checked
 * against the truth server in Python. Built by `python -m tests.bench.streams`.
 */
#define _GNU_SOURCE /* accept4, memmem */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 4096, MOST_INPUT = 1 << 20, MOST_STREAMS = 1024, MOST_PACKET = 1 << 16 };
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

struct stream {
    uint32_t id;
    long left, next;  /* responses to send, number of the next one; left < 0: the request is not complete */
    int64_t window;
    char request[2048]; /* its beginning: the request id and the tensors' descriptions stand there */
    size_t request_size;
};

struct connection {
    unsigned char *input;
    size_t length;
    int greeted;
    int64_t window, initial_window;
    struct stream *streams[MOST_STREAMS];
    int number, turn;
    unsigned char packet[MOST_PACKET];
    size_t packet_size, packet_sent;
};

static struct connection *connections[MOST_CONNECTIONS];
static int per_packet = 1;
static const unsigned char RESPONSE_HEAD[] = "\x88\x0f\x10\x10" "application/grpc";
static const unsigned char TRAILERS[] = "\x00\x0b" "grpc-status" "\x01" "0";

static size_t frame(unsigned char *to, size_t size, int type, int flags, uint32_t stream) {
    uint32_t id = htonl(stream);
    to[0] = (unsigned char)(size >> 16), to[1] = (unsigned char)(size >> 8), to[2] = (unsigned char)size;
    to[3] = (unsigned char)type, to[4] = (unsigned char)flags;
    memcpy(to + 5, &id, 4);
    return 9;
}

static void put(struct connection *c, const void *content, size_t size, int type, int flags, uint32_t stream) {
    if (c->packet_size + size + 9 > MOST_PACKET) return; /* only control frames of a peer that floods us */
    c->packet_size += frame(c->packet + c->packet_size, size, type, flags, stream);
    if (size) memcpy(c->packet + c->packet_size, content, size);
    c->packet_size += size;
}

/* ModelStreamInferResponse{infer_response: {model_name, model_version, parameters, outputs: [text_output], raw}}. */
static size_t response(unsigned char *to, const struct stream *s) {
    unsigned char inner[512], text[32];
    static const unsigned char names[] = "\x0a\x08" "ensemble" "\x12\x01" "1";
    static const unsigned char output[] = "\x2a\x18\x0a\x0b" "text_output" "\x12\x05" "BYTES" "\x1a\x02\x01\x01";
    static const unsigned char last[] = "\x22\x1b\x0a\x15" "triton_final_response" "\x12\x02\x08\x01";
    int text_size = snprintf((char *)text, sizeof text, " t%ld", s->next);
    size_t size = sizeof names - 1;
    memcpy(inner, names, size);
    if (s->left == 1) memcpy(inner + size, last, sizeof last - 1), size += sizeof last - 1;
    memcpy(inner + size, output, sizeof output - 1), size += sizeof output - 1;
    inner[size++] = 0x32, inner[size++] = (unsigned char)(text_size + 4);
    uint32_t length = (uint32_t)text_size;
    memcpy(inner + size, &length, 4), size += 4; /* little-endian hosts only */
    memcpy(inner + size, text, (size_t)text_size), size += (size_t)text_size;
    to[0] = 0, to[1] = 0, to[2] = 0, to[3] = 0, to[4] = (unsigned char)(size + 2);
    to[5] = 0x12, to[6] = (unsigned char)size; /* all sizes stay below 128: one byte each */
    memcpy(to + 7, inner, size);
    return size + 7;
}

static void forget(struct connection *c, int k) {
    free(c->streams[k]);
    c->streams[k] = c->streams[--c->number];
}

static struct stream *find(struct connection *c, uint32_t id, int *where) {
    for (int k = 0; k < c->number; k++)
        if (c->streams[k]->id == id) return *where = k, c->streams[k];
    return NULL;
}

static void fill(struct connection *c) {
    unsigned char message[600];
    c->packet_size = c->packet_sent = 0;
    for (int made = 0, looked = 0; made < per_packet && looked < c->number; looked++) {
        int k = c->turn++ % c->number;
        struct stream *s = c->streams[k];
        if (s->left < 0) continue;
        size_t size = response(message, s);
        if (c->window < (int64_t)size || s->window < (int64_t)size) continue;
        if (s->next == 0) put(c, RESPONSE_HEAD, sizeof RESPONSE_HEAD - 1, HEADERS, END_HEADERS, s->id);
        put(c, message, size, DATA, 0, s->id);
        c->window -= (int64_t)size, s->window -= (int64_t)size;
        s->next++, made++, looked = -1;
        if (--s->left > 0) continue;
        put(c, TRAILERS, sizeof TRAILERS - 1, HEADERS, END_HEADERS | END_STREAM, s->id);
        forget(c, k);
    }
}

/* One packet; 1 while there may be more to send, 0 when done or when the socket is full, -1 when the peer is gone. */
static int send_one(int fd, struct connection *c) {
    if (c->packet_sent == c->packet_size) fill(c);
    if (c->packet_size == 0) return 0;
    ssize_t sent = send(fd, c->packet + c->packet_sent, c->packet_size - c->packet_sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    c->packet_sent += (size_t)sent;
    if (c->packet_sent == c->packet_size) c->packet_size = c->packet_sent = 0;
    return 1;
}

/* The value of the INT32 tensor `max_tokens`: a request of ours is all raw contents, the tensors in order. */
static long max_tokens(const struct stream *s) {
    const unsigned char *at = memmem(s->request, s->request_size, "max_tokens", 10);
    if (!at) return 1;
    /* The raw contents follow the descriptions: the first entry of tag 7 and size 4 is max_tokens (BOOLs have size 1). */
    const unsigned char *end = (const unsigned char *)s->request + s->request_size;
    for (; at + 6 <= end; at++)
        if (at[0] == 0x3a && at[1] == 4) return at[2] | at[3] << 8 | at[4] << 16;
    return 1;
}

static void take_settings(struct connection *c, const unsigned char *at, size_t size) {
    for (; size >= 6; at += 6, size -= 6) {
        if ((at[0] << 8 | at[1]) != 4) continue;
        int64_t value = (int64_t)at[2] << 24 | at[3] << 16 | at[4] << 8 | at[5];
        for (int k = 0; k < c->number; k++) c->streams[k]->window += value - c->initial_window;
        c->initial_window = value;
    }
    put(c, NULL, 0, SETTINGS, ACK, 0);
}

static void take(struct connection *c, int type, int flags, uint32_t id, const unsigned char *at, size_t size) {
    int k = 0;
    struct stream *s = find(c, id, &k);
    if (type == HEADERS && !s && c->number < MOST_STREAMS) {
        s = c->streams[c->number++] = calloc(1, sizeof *s);
        *s = (struct stream){.id = id, .left = -1, .window = c->initial_window};
    } else if (type == DATA) {
        uint32_t grant = htonl((uint32_t)size);
        if (size) put(c, &grant, 4, WINDOW_UPDATE, 0, 0); /* streams never take more than their first window */
        if (!s) return;
        size_t room = sizeof s->request - s->request_size, kept = size < room ? size : room;
        memcpy(s->request + s->request_size, at, kept), s->request_size += kept;
        if (flags & END_STREAM) s->left = max_tokens(s);
    } else if (type == SETTINGS && !(flags & ACK)) {
        take_settings(c, at, size);
    } else if (type == PING && !(flags & ACK)) {
        put(c, at, size, PING, ACK, 0);
    } else if (type == RST_STREAM && s) {
        forget(c, k);
    } else if (type == WINDOW_UPDATE) {
        int64_t more = (int64_t)(at[0] & 127) << 24 | at[1] << 16 | at[2] << 8 | at[3];
        if (id == 0) c->window += more;
        else if (s) s->window += more;
    }
}

static int receive(int fd, struct connection *c) {
    ssize_t got = recv(fd, c->input + c->length, MOST_INPUT - c->length, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : -1;
    c->length += (size_t)got;
    size_t at = 0;
    if (!c->greeted) {
        if (c->length < 24) return 0;
        at = 24, c->greeted = 1; /* "PRI * HTTP/2.0…" */
        static const unsigned char wide[] = "\x00\x03\x00\x00\x04\x00" "\x00\x04\x00\x10\x00\x00"; /* streams, window */
        put(c, wide, 12, SETTINGS, 0, 0);
    }
    while (c->length - at >= 9) {
        const unsigned char *head = c->input + at;
        size_t size = (size_t)(head[0] << 16 | head[1] << 8 | head[2]);
        if (c->length - at < 9 + size) break;
        uint32_t id = (uint32_t)(head[5] & 127) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
        take(c, head[3], head[4], id, head + 9, size);
        at += 9 + size;
    }
    memmove(c->input, c->input + at, c->length -= at);
    return 0;
}

static void drop(int fd) {
    close(fd);
    while (connections[fd]->number) forget(connections[fd], 0);
    free(connections[fd]->input);
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
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
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
            connections[accepted]->input = malloc(MOST_INPUT);
            connections[accepted]->window = connections[accepted]->initial_window = 65535;
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
