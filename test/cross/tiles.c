/* The tile instructions of x86 (AMX) for a machine that has none: its signal of an illegal instruction computes them.

   Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18, and volume 2 for the encodings.
   Where the machine has them and Linux grants them, nothing here runs. A program that breaks a rule of theirs ends with
   the code 100 and the number of the line here. One thread only. */

typedef unsigned char byte;
typedef unsigned long word;

enum { TILES = 8, ROWS = 16, BYTES = 64 };

static struct {
  int configured;
  int rows[TILES], bytes[TILES];
  byte data[TILES][ROWS][BYTES];
} state;

static long syscall4(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}

static void leave(int line) { syscall4(60, 100 + line % 128, 0, 0, 0); }

#define EXPECT(condition) \
  if (!(condition)) leave(__LINE__)

static float float_of_bf16(const byte *at) {
  union {
    unsigned bits;
    float value;
  } x = {(unsigned)(at[0] | at[1] << 8) << 16};
  return x.value;
}

static float float_of_f16(const byte *at) {
  _Float16 x;
  __builtin_memcpy(&x, at, 2);
  return (float)x;
}

/* Sums of the products of groups of four bytes, by the opcode and the prefix that select how they are read. */
static void multiply(int opcode, int prefix, int to, int left, int right) {
  int groups = state.bytes[left] / 4, columns = state.bytes[to] / 4;
  EXPECT(to != left && to != right && left != right);
  EXPECT(state.bytes[left] % 4 == 0 && state.bytes[to] % 4 == 0);
  EXPECT(state.rows[to] && state.rows[left] == state.rows[to]);
  EXPECT(groups && state.rows[right] == groups && state.bytes[right] == state.bytes[to]);
  for (int m = 0; m < state.rows[to]; m++)
    for (int k = 0; k < groups; k++)
      for (int n = 0; n < columns; n++) {
        byte *sum = state.data[to][m] + 4 * n;
        const byte *a = state.data[left][m] + 4 * k, *b = state.data[right][k] + 4 * n;
        if (opcode == 0x5c) {
          float total;
          __builtin_memcpy(&total, sum, 4);
          for (int i = 0; i < 4; i += 2)
            total += prefix == 2 ? float_of_bf16(a + i) * float_of_bf16(b + i) : float_of_f16(a + i) * float_of_f16(b + i);
          __builtin_memcpy(sum, &total, 4);
        } else {
          int is_signed_left = prefix >= 2, is_signed_right = prefix == 1 || prefix == 3;
          unsigned total;
          __builtin_memcpy(&total, sum, 4);
          for (int i = 0; i < 4; i++)
            total += (is_signed_left ? (signed char)a[i] : a[i]) * (is_signed_right ? (signed char)b[i] : b[i]);
          __builtin_memcpy(sum, &total, 4);
        }
      }
}

static void configure(const byte *from) {
  EXPECT(from[0] == 1 && from[1] == 0);
  for (int t = 0; t < TILES; t++) {
    state.bytes[t] = from[16 + 2 * t] | from[17 + 2 * t] << 8, state.rows[t] = from[48 + t];
    EXPECT(state.bytes[t] <= BYTES && state.rows[t] <= ROWS && !state.bytes[t] == !state.rows[t]);
  }
  state.configured = 1;
  __builtin_memset(state.data, 0, sizeof state.data);
}

/* The rows of a tile from or to memory; zeros fill what it does not have. */
static void move(int tile, byte *at, word stride, int is_load) {
  EXPECT(state.rows[tile] && state.bytes[tile]);
  if (is_load) __builtin_memset(state.data[tile], 0, sizeof state.data[tile]);
  for (int row = 0; row < state.rows[tile]; row++, at += stride)
    if (is_load)
      __builtin_memcpy(state.data[tile][row], at, state.bytes[tile]);
    else
      __builtin_memcpy(at, state.data[tile][row], state.bytes[tile]);
}

enum { RSP = 15, RIP = 16 };

struct context {
  word flags, link, stack[3];
  word registers[23];
};

/* Where a context has the registers, by their numbers in instructions. */
static const int place[16] = {13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7};

static void illegal(int signal, void *info, struct context *context) {
  (void)signal, (void)info;
  word *registers = context->registers;
  const byte *at = (const byte *)registers[RIP];
  /* Three bytes of VEX, the map 0F38, vectors of 128 bits. */
  EXPECT(at[0] == 0xc4 && (at[1] & 31) == 2 && !(at[2] & 0x84));
  int prefix = at[2] & 3 /* none, 66, F3, F2 */, extra = ~at[2] >> 3 & 15, opcode = at[3];
  int mode = at[4] >> 6, reg = at[4] >> 3 & 7, rm = at[4] & 7;
  const byte *end = at + 5;
  byte *address = 0;
  word stride = 0;
  if (mode != 3) {
    int base = rm;
    if (rm == 4) {
      int scale = *end >> 6, index = (*end >> 3 & 7) | (~at[1] >> 6 & 1) << 3;
      base = *end++ & 7;
      if (index != 4) stride = registers[place[index]] << scale;
    }
    int from_here = mode == 0 && rm == 5, no_base = mode == 0 && rm == 4 && base == 5;
    int displacement = 0;
    if (mode == 1)
      displacement = (signed char)*end++;
    else if (mode == 2 || from_here || no_base)
      __builtin_memcpy(&displacement, end, 4), end += 4;
    word start = from_here ? (word)end : no_base ? 0 : registers[place[base | (~at[1] >> 5 & 1) << 3]];
    address = (byte *)(start + (word)(long)displacement);
  }
  if (opcode == 0x49 && mode != 3) {
    EXPECT(prefix == 0 && rm != 4 | stride == 0);
    configure(address);
  } else if (opcode == 0x49 && prefix == 0) {
    EXPECT(reg == 0 && rm == 0);
    __builtin_memset(&state, 0, sizeof state);
  } else {
    EXPECT(state.configured);
    if (opcode == 0x49) {
      EXPECT(prefix == 3 && rm == 0 && state.rows[reg]);
      __builtin_memset(state.data[reg], 0, sizeof state.data[reg]);
    } else if (opcode == 0x4b) {
      EXPECT(mode != 3 && rm == 4 && prefix);
      move(reg, address, stride, prefix != 2);
    } else {
      EXPECT(mode == 3 && (opcode == 0x5e || (opcode == 0x5c && prefix >= 2)));
      multiply(opcode, prefix, reg, rm, extra);
    }
  }
  registers[RIP] = (word)end;
}

__attribute__((naked)) static void back(void) { __asm__("mov $15, %eax\n syscall"); }

/* Ask Linux for the tiles, or else compute them. */
void take_tiles(void) {
  static const struct {
    void (*handler)(int, void *, struct context *);
    word flags;
    void (*restorer)(void);
    word mask;
  } action = {illegal, 0x04000004 /* SA_RESTORER, SA_SIGINFO */, back, 0};
  if (syscall4(158, 0x1023, 18, 0, 0)) syscall4(13, 4, (long)&action, 0, 8);
}

/* Whether a program has left tiles configured that are computed here. */
int has_tiles_left(void) { return state.configured; }
