/* Passes frames between two Ethernet devices of this machine, and is bad at it.
 *
 *   switch INSIDE OUTSIDE HOSTS SEED DELAY JITTER LOSS DOUBLE OVERTAKE DAMAGE
 *
 * INSIDE leads to one host, OUTSIDE to all the others. Only what hosts say to one another over IPv4
 * is treated badly, in both directions: hosts are those whose addresses end with 1 to HOSTS. Each of
 * these frames is delayed by DELAY and at most JITTER milliseconds more, in order; and of a thousand,
 * LOSS are lost, DOUBLE come twice, OVERTAKE come later than those behind them, and DAMAGE have one
 * bit of what TCP carries turned. The kernel leaves checksums of frames that never leave the machine
 * to the receiver's device, so TCP does not notice the damage.
 *
 * Says "ready" when it listens, ends with its input. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Before each frame: what is left to the device (struct virtio_net_hdr). */
#define HEADER 10
#define ETHERNET 14
#define FRAME (HEADER + ETHERNET + 65536)
/* More wait for nobody: they are lost, as in a router. */
#define WAITING 8192
#define LATE_MS 40

struct frame {
  struct frame *next;
  uint64_t due;
  int way;
  size_t length;
  unsigned char bytes[];
};

static uint64_t state;
static struct frame *first;
static int waiting;

static void die(const char *what) {
  fprintf(stderr, "switch: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* splitmix64. */
static uint64_t draw(uint64_t below) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % below;
}

static int happens(unsigned per_thousand) { return draw(1000) < per_thousand; }

static uint64_t now_us(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static int listen_on(const char *device) {
  int one = 1, size = 4 << 20, fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  if (fd < 0) die("socket");
  at.sll_ifindex = (int)if_nametoindex(device);
  if (at.sll_ifindex == 0) die(device);
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) < 0) die("PACKET_VNET_HDR");
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) < 0) die("PACKET_IGNORE_OUTGOING");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die(device);
  return fd;
}

static int is_between_hosts(const unsigned char *frame, size_t length, unsigned hosts) {
  const unsigned char *ip = frame + HEADER + ETHERNET;
  if (length < HEADER + ETHERNET + 20) return 0;
  if (frame[HEADER + 12] != 8 || frame[HEADER + 13] != 0) return 0;
  return ip[15] >= 1 && ip[15] <= hosts && ip[19] >= 1 && ip[19] <= hosts;
}

static void damage(unsigned char *frame, size_t length) {
  unsigned char *ip = frame + HEADER + ETHERNET;
  size_t head = (size_t)(ip[0] & 15) * 4, behind;
  if (ip[9] != 6 || length < HEADER + ETHERNET + head + 20) return;
  behind = HEADER + ETHERNET + head + (size_t)(ip[head + 12] >> 4) * 4;
  if (behind < length) frame[behind + draw(length - behind)] ^= (unsigned char)(1u << draw(8));
}

/* Behind all that are due no later. */
static void keep(const unsigned char *bytes, size_t length, int way, uint64_t due) {
  struct frame **place = &first, *frame;
  if (waiting >= WAITING || (frame = malloc(sizeof *frame + length)) == NULL) return;
  while (*place != NULL && (*place)->due <= due) place = &(*place)->next;
  *frame = (struct frame){.next = *place, .due = due, .way = way, .length = length};
  memcpy(frame->bytes, bytes, length);
  *place = frame;
  waiting++;
}

int main(int count, char **words) {
  static unsigned char bytes[FRAME];
  unsigned given[8];
  uint64_t last[2] = {0, 0};
  if (count != 11) {
    fprintf(stderr, "switch INSIDE OUTSIDE HOSTS SEED DELAY JITTER LOSS DOUBLE OVERTAKE DAMAGE\n");
    return 2;
  }
  for (int i = 0; i < 8; i++) given[i] = (unsigned)strtoul(words[i + 3], NULL, 10);
  unsigned hosts = given[0], delay = given[2], jitter = given[3], loss = given[4];
  unsigned twice = given[5], overtake = given[6], damaged = given[7];
  state = given[1];
  struct pollfd ways[3] = {{.fd = listen_on(words[1]), .events = POLLIN},
                           {.fd = listen_on(words[2]), .events = POLLIN},
                           {.fd = 0, .events = POLLIN}};
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    uint64_t now = now_us();
    while (first != NULL && first->due <= now) {
      struct frame *sent = first;
      /* What a device does not take is lost. */
      if (send(ways[!sent->way].fd, sent->bytes, sent->length, 0) < 0 && errno == EBADF) die("send");
      first = sent->next;
      free(sent);
      waiting--;
    }
    int wait = first == NULL ? -1 : (int)((first->due - now + 999) / 1000);
    if (poll(ways, 3, wait) < 0 && errno != EINTR) die("poll");
    if (ways[2].revents != 0) return 0;
    for (int way = 0; way < 2; way++) {
      while (ways[way].revents & POLLIN) {
        ssize_t length = recv(ways[way].fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (length < 0) break;
        uint64_t due = now_us();
        if (!is_between_hosts(bytes, (size_t)length, hosts)) {
          keep(bytes, (size_t)length, way, due);
          continue;
        }
        if (happens(loss)) continue;
        if (happens(damaged)) damage(bytes, (size_t)length);
        due += 1000 * (delay + (jitter > 0 ? draw(jitter + 1) : 0));
        if (happens(overtake)) {
          due += 1000 * LATE_MS;
        } else {
          if (due < last[way]) due = last[way];
          last[way] = due;
        }
        keep(bytes, (size_t)length, way, due);
        if (happens(twice)) keep(bytes, (size_t)length, way, due);
      }
    }
  }
}
