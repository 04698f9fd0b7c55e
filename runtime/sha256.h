/* SHA-256 (FIPS 180-4), by the CPU's instructions where it has them. */
#ifndef NEO_SHA256_H
#define NEO_SHA256_H

#include <stddef.h>
#include <stdint.h>

void neo_sha256(const uint8_t *bytes, size_t size, uint8_t digest[32]);

#endif
