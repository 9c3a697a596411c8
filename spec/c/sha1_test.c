/* SPDX-License-Identifier: MIT */
/* sha1: the test suite of RFC 3174, section 7.3, and lengths about the padding. */
#include "base/sha1.h"

#include "check.h"

static const char *hex_of(const char *text, size_t len)
{
	static char hex[2 * RL_SHA1_LEN + 1];
	uint8_t digest[RL_SHA1_LEN];
	rl_sha1_digest(text, len, digest);
	for (int i = 0; i < RL_SHA1_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return hex;
}

TEST(vectors_of_the_rfc)
{
	static char many[1000000];
	memset(many, 'a', sizeof many);
	CHECK(strcmp(hex_of("abc", 3), "a9993e364706816aba3e25717850c26c9cd0d89d") == 0);
	CHECK(strcmp(hex_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56),
		"84983e441c3bd26ebaae4aa1f95129e5e54670f1") == 0);
	CHECK(strcmp(hex_of(many, sizeof many), "34aa973cd4c4daa4f61eeb2bdbad27316534016f") == 0);
	for (int i = 0; i < 640; i += 8)
		memcpy(many + i, "01234567", 8);
	CHECK(strcmp(hex_of(many, 640), "dea356a2cddd90c7a7ecedc5ebb563934f460452") == 0);
}

/* As sha1sum(1) gives them: the padding fits into the last block up to 55 bytes. */
TEST(lengths_about_the_padding)
{
	static const struct {
		size_t len;
		const char *hex;
	} want[] = {
		{ 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ 1, "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8" },
		{ 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a" },
		{ 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699" },
		{ 57, "f08f24908d682555111be7ff6f004e78283d989a" },
		{ 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5" },
		{ 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d" },
		{ 65, "11655326c708d70319be2610e8a57d9a5b959d3b" },
		{ 119, "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56" },
		{ 120, "f34c1488385346a55709ba056ddd08280dd4c6d6" },
		{ 128, "ad5b3fdbcb526778c2839d2f151ea753995e26a0" },
	};
	char text[128];
	memset(text, 'a', sizeof text);
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
		CHECK(strcmp(hex_of(text, want[i].len), want[i].hex) == 0);
}

/* RFC 6455 1.3 */
TEST(the_handshake_of_rfc_6455)
{
	CHECK(strcmp(hex_of("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 60),
		"b37a4f2cc0624f1690f64606cf385945b2bec4ea") == 0);
}

int main(void)
{
	RUN(vectors_of_the_rfc);
	RUN(lengths_about_the_padding);
	RUN(the_handshake_of_rfc_6455);
	return FINISH();
}
