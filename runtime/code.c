#include "code.h"

#include "error.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__) || defined(__arm__) || defined(__riscv))

#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if __SIZEOF_POINTER__ == 8
#define ELF(name) Elf64_##name
#define OWN_CLASS ELFCLASS64
#define SYMBOL_OF(info) ((info) >> 32)
#define KIND_OF(info) ((uint32_t)(info))
#else
#define ELF(name) Elf32_##name
#define OWN_CLASS ELFCLASS32
#define SYMBOL_OF(info) ((info) >> 8)
#define KIND_OF(info) ((info) & 0xff)
#endif

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64, ABSOLUTE = 1, GLOBAL = 6, JUMP = 7, RELATIVE = 8 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64, ABSOLUTE = 257, GLOBAL = 1025, JUMP = 1026, RELATIVE = 1027 };
#elif defined(__arm__)
enum { MACHINE = EM_ARM, ABSOLUTE = 2, GLOBAL = 21, JUMP = 22, RELATIVE = 23 };
#else
enum { MACHINE = 243, ABSOLUTE = __SIZEOF_POINTER__ == 8 ? 2 : 1, GLOBAL = -1, JUMP = 5, RELATIVE = 3 };
#endif

#define MOST_SEGMENTS 32
#define MOST_BYTES ((uint64_t)1 << 31)

struct segment {
  uint64_t start, end; /* in memory, from the start of the image, in whole pages */
  int rights;
};

struct image {
  uint8_t *base;
  uint64_t bytes;
  struct segment segments[MOST_SEGMENTS];
  int segment_count;
  uint64_t symbols, symbol_count, strings, string_bytes;
  uint64_t tables[3], table_bytes[3]; /* RELA, REL, and those of the procedure linkage table */
  int jump_is_rela;
  uint64_t relro_start, relro_end; /* what is only written to while it is relocated */
};

static int32_t refused(const char *what) {
  return neo_fail(NEO_DAMAGED, "the code of the model cannot be loaded: %s; compile the model again", what);
}

/* Whether `bytes` from `at` lie in memory that has all of `rights`. */
static int inside(const struct image *image, uint64_t at, uint64_t bytes, int rights) {
  for (int i = 0; i < image->segment_count; i++) {
    const struct segment *segment = &image->segments[i];
    if (at >= segment->start && at <= segment->end && bytes <= segment->end - at)
      return (segment->rights & rights) == rights;
  }
  return 0;
}

/* Whether they lie in memory that no relocation writes to, so that what is checked stays so. */
static int fixed(const struct image *image, uint64_t at, uint64_t bytes) {
  return inside(image, at, bytes, PROT_READ) && !inside(image, at, bytes, PROT_WRITE);
}

static int rights_of(uint32_t flags) {
  return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

/* The segments that are to be loaded, and how much memory they take together. */
static int32_t plan(const uint8_t *file, uint64_t size, const ELF(Ehdr) * header, struct image *image) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = 0;
  for (int i = 0; i < header->e_phnum; i++) {
    ELF(Phdr) segment;
    memcpy(&segment, file + header->e_phoff + (size_t)i * sizeof segment, sizeof segment);
    if (segment.p_type == PT_TLS || segment.p_type == PT_INTERP) return refused("it has parts of a program");
    if (segment.p_type == PT_GNU_RELRO) {
      image->relro_start = (segment.p_vaddr + page - 1) / page * page;
      image->relro_end = (segment.p_vaddr + segment.p_memsz) / page * page;
    }
    if (segment.p_type != PT_LOAD) continue;
    uint64_t from = segment.p_offset, length = segment.p_filesz, at = segment.p_vaddr, room = segment.p_memsz;
    if (from > size || length > size - from || length > room || room > MOST_BYTES || at > MOST_BYTES)
      return refused("a segment is not inside the file");
    struct segment found = {at / page * page, (at + room + page - 1) / page * page, rights_of(segment.p_flags)};
    if (found.start < end) return refused("its segments share a page of memory");
    if (found.rights & PROT_WRITE && found.rights & PROT_EXEC) return refused("a segment is writable and executable");
    if (image->segment_count == MOST_SEGMENTS) return refused("it has too many segments");
    end = found.end;
    image->segments[image->segment_count++] = found;
  }
  image->bytes = end;
  return image->segment_count ? NEO_OK : refused("it has no segments");
}

static int32_t copy(const uint8_t *file, const ELF(Ehdr) * header, struct image *image) {
  void *memory = mmap(0, image->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return neo_fail(NEO_NO_MEMORY, "there is no memory for %lld bytes of code", (long long)image->bytes);
  image->base = memory;
  for (int i = 0; i < header->e_phnum; i++) {
    ELF(Phdr) segment;
    memcpy(&segment, file + header->e_phoff + (size_t)i * sizeof segment, sizeof segment);
    if (segment.p_type == PT_LOAD && segment.p_filesz)
      memcpy(image->base + segment.p_vaddr, file + segment.p_offset, segment.p_filesz);
  }
  return NEO_OK;
}

/* Read the dynamic section, of which `count` entries are at `at`. */
static int32_t read_dynamic(struct image *image, uint64_t at, uint64_t count) {
  uint64_t hash = 0;
  image->jump_is_rela = 1;
  for (uint64_t i = 0; i < count; i++) {
    ELF(Dyn) entry;
    memcpy(&entry, image->base + at + i * sizeof entry, sizeof entry);
    uint64_t value = entry.d_un.d_val;
    switch (entry.d_tag) {
      case DT_NULL: i = count; break;
      case DT_HASH: hash = value; break;
      case DT_SYMTAB: image->symbols = value; break;
      case DT_STRTAB: image->strings = value; break;
      case DT_STRSZ: image->string_bytes = value; break;
      case DT_RELA: image->tables[0] = value; break;
      case DT_RELASZ: image->table_bytes[0] = value; break;
      case DT_REL: image->tables[1] = value; break;
      case DT_RELSZ: image->table_bytes[1] = value; break;
      case DT_JMPREL: image->tables[2] = value; break;
      case DT_PLTRELSZ: image->table_bytes[2] = value; break;
      case DT_PLTREL: image->jump_is_rela = value == DT_RELA; break;
      case DT_NEEDED: return refused("it needs another library");
      case DT_TEXTREL: return refused("its code would be written to");
      case DT_INIT: case DT_INIT_ARRAY: case DT_FINI: case DT_FINI_ARRAY: case DT_PREINIT_ARRAY:
        return refused("it has something to initialise");
      case 36: /* DT_RELR */
        return refused("its relocations are packed");
      default: break;
    }
  }
  if (!hash || !fixed(image, hash, 8)) return refused("it has no symbol table");
  uint32_t chains;
  memcpy(&chains, image->base + hash + 4, sizeof chains);
  image->symbol_count = chains;
  int fine = fixed(image, image->symbols, chains * (uint64_t)sizeof(ELF(Sym))) && image->string_bytes &&
             fixed(image, image->strings, image->string_bytes) &&
             !image->base[image->strings + image->string_bytes - 1];
  for (int i = 0; i < 3; i++)
    fine = fine && (!image->table_bytes[i] || fixed(image, image->tables[i], image->table_bytes[i]));
  return fine ? NEO_OK : refused("its tables are not inside it");
}

static int32_t find_dynamic(const uint8_t *file, const ELF(Ehdr) * header, struct image *image) {
  for (int i = 0; i < header->e_phnum; i++) {
    ELF(Phdr) segment;
    memcpy(&segment, file + header->e_phoff + (size_t)i * sizeof segment, sizeof segment);
    if (segment.p_type != PT_DYNAMIC) continue;
    if (!inside(image, segment.p_vaddr, segment.p_memsz, PROT_READ)) break;
    return read_dynamic(image, segment.p_vaddr, segment.p_memsz / sizeof(ELF(Dyn)));
  }
  return refused("it has no dynamic section");
}

static const char *name_of(const struct image *image, const ELF(Sym) * symbol) {
  return symbol->st_name < image->string_bytes ? (const char *)image->base + image->strings + symbol->st_name : "";
}

/* The address of a symbol, by its index. */
static int32_t resolve(const struct image *image, uint64_t index, uintptr_t *address) {
  ELF(Sym) symbol;
  *address = 0;
  if (!index) return NEO_OK;
  if (index >= image->symbol_count) return refused("a relocation names no symbol");
  memcpy(&symbol, image->base + image->symbols + index * sizeof symbol, sizeof symbol);
  if (symbol.st_shndx != SHN_UNDEF) {
    if (symbol.st_value >= image->bytes) return refused("a symbol is not inside it");
    *address = (uintptr_t)image->base + symbol.st_value;
    return NEO_OK;
  }
  const char *name = name_of(image, &symbol);
  *address = (uintptr_t)neo_import(name);
  if (*address || symbol.st_info >> 4 == STB_WEAK) return NEO_OK;
  return neo_fail(NEO_DAMAGED, "the code of the model cannot be loaded: it calls %.100s, which this runtime has not; "
                  "functions in double precision are there where it is built with -DNEO_DOUBLES",
                  name);
}

static int32_t relocate(const struct image *image, uint64_t table, uint64_t bytes, int rela) {
  size_t step = rela ? sizeof(ELF(Rela)) : sizeof(ELF(Rel));
  for (uint64_t at = 0; bytes - at >= step; at += step) {
    ELF(Rela) entry = {0};
    memcpy(&entry, image->base + table + at, step);
    if (!inside(image, entry.r_offset, sizeof(uintptr_t), PROT_WRITE)) return refused("a relocation is not inside it");
    uint8_t *place = image->base + entry.r_offset;
    uintptr_t addend = (uintptr_t)entry.r_addend, address;
    if (!rela) memcpy(&addend, place, sizeof addend);
    int kind = (int)KIND_OF(entry.r_info);
    if (kind == 0) continue;
    if (kind == RELATIVE) {
      addend += (uintptr_t)image->base;
    } else if (kind == ABSOLUTE || kind == GLOBAL || kind == JUMP) {
      int32_t status = resolve(image, SYMBOL_OF(entry.r_info), &address);
      if (status) return status;
      /* In tables without addends a slot of the linkage table holds the way to a lazy loader. */
      addend = kind == JUMP || (kind == GLOBAL && !rela) ? address : address + addend;
    } else {
      return refused("a relocation is of an unknown kind");
    }
    memcpy(place, &addend, sizeof addend);
  }
  return NEO_OK;
}

static int32_t find_entry(const struct image *image, const char *wanted, neo_entry *function) {
  for (uint64_t i = 1; i < image->symbol_count; i++) {
    ELF(Sym) symbol;
    memcpy(&symbol, image->base + image->symbols + i * sizeof symbol, sizeof symbol);
    if (symbol.st_shndx == SHN_UNDEF || strcmp(name_of(image, &symbol), wanted)) continue;
    if (!inside(image, symbol.st_value & ~(uint64_t)1, 2, PROT_EXEC)) return refused("its entry is no code");
    uintptr_t address = (uintptr_t)image->base + symbol.st_value;
    memcpy(function, &address, sizeof address);
    return NEO_OK;
  }
  return neo_fail(NEO_DAMAGED, "the code of the model has no entry '%.100s'; compile the model again", wanted);
}

static int32_t protect(const struct image *image) {
  for (int i = 0; i < image->segment_count; i++) {
    const struct segment *segment = &image->segments[i];
    if (mprotect(image->base + segment->start, segment->end - segment->start, segment->rights))
      return neo_fail(NEO_CANNOT_READ, "the system does not let memory become executable; link the model to the program");
    if (segment->rights & PROT_EXEC)
      __builtin___clear_cache((char *)image->base + segment->start, (char *)image->base + segment->end);
  }
  if (image->relro_start < image->relro_end &&
      inside(image, image->relro_start, image->relro_end - image->relro_start, PROT_WRITE))
    mprotect(image->base + image->relro_start, image->relro_end - image->relro_start, PROT_READ);
  return NEO_OK;
}

int32_t neo_code_load(const uint8_t *file, int64_t size, const char *entry, struct neo_code *code,
                      neo_entry *function) {
  ELF(Ehdr) header;
  struct image image = {0};
  if (size < (int64_t)sizeof header) return refused("it is too short");
  memcpy(&header, file, sizeof header);
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_type != ET_DYN || header.e_ident[EI_DATA] != ELFDATA2LSB)
    return refused("it is no ELF library");
  if (header.e_ident[EI_CLASS] != OWN_CLASS || header.e_machine != MACHINE)
    return neo_fail(NEO_WRONG_MACHINE, "the code of the model is for another machine");
  if (header.e_phentsize != sizeof(ELF(Phdr)) || header.e_phoff > (uint64_t)size ||
      header.e_phnum * (uint64_t)sizeof(ELF(Phdr)) > (uint64_t)size - header.e_phoff)
    return refused("its segments are not inside it");
  int32_t status = plan(file, (uint64_t)size, &header, &image);
  if (!status) status = copy(file, &header, &image);
  if (!status) status = find_dynamic(file, &header, &image);
  for (int i = 0; !status && i < 3; i++)
    status = relocate(&image, image.tables[i], image.table_bytes[i], i == 2 ? image.jump_is_rela : i == 0);
  if (!status) status = find_entry(&image, entry, function);
  if (!status) status = protect(&image);
  *code = (struct neo_code){image.base, image.bytes};
  if (status) neo_code_unload(code);
  return status;
}

void neo_code_unload(struct neo_code *code) {
  if (code->memory) munmap(code->memory, code->bytes);
  *code = (struct neo_code){0};
}

#else

int32_t neo_code_load(const uint8_t *file, int64_t size, const char *entry, struct neo_code *code,
                      neo_entry *function) {
  (void)file;
  (void)size;
  (void)entry;
  (void)code;
  (void)function;
  return neo_fail(NEO_UNSUPPORTED, "this system loads no code; link the model to the program");
}

void neo_code_unload(struct neo_code *code) { (void)code; }

#endif
