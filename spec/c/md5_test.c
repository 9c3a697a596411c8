/* SPDX-License-Identifier: MIT */
/* md5: the test suite of RFC 1321, appendix A.5, and lengths about the padding. */
#include "base/md5.h"

#include "check.h"

static const char *hex_of(const char *text, size_t len)
{
	static char hex[2 * RL_MD5_LEN + 1];
	uint8_t digest[RL_MD5_LEN];
	rl_md5_digest(text, len, digest);
	for (int i = 0; i < RL_MD5_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return hex;
}

TEST(vectors_of_the_rfc)
{
	static const char *const want[][2] = {
		{ "", "d41d8cd98f00b204e9800998ecf8427e" },
		{ "a", "0cc175b9c0f1b6a831c399e269772661" },
		{ "abc", "900150983cd24fb0d6963f7d28e17f72" },
		{ "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
		{ "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
		{ "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
			"d174ab98d277d9f5a5611c2c9f419d9f" },
		{ "1234567890123456789012345678901234567890123456789012345678901234567890"
			"1234567890",
			"57edf4a22be3c955ac49da2e2107b67a" },
	};
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
		CHECK(strcmp(hex_of(want[i][0], strlen(want[i][0])), want[i][1]) == 0);
}

/* As md5sum(1) gives them: the padding fits into the last block up to 55 bytes. */
TEST(lengths_about_the_padding)
{
	static const struct {
		size_t len;
		const char *hex;
	} want[] = {
		{ 55, "ef1772b6dff9a122358552954ad0df65" },
		{ 56, "3b0c8ac703f828b04c6c197006d17218" },
		{ 57, "652b906d60af96844ebd21b674f35e93" },
		{ 63, "b06521f39153d618550606be297466d5" },
		{ 64, "014842d480b571495a4a0363793f7367" },
		{ 65, "c743a45e0d2e6a95cb859adae0248435" },
		{ 119, "8a7bd0732ed6a28ce75f6dabc90e1613" },
		{ 120, "5f61c0ccad4cac44c75ff505e1f1e537" },
		{ 128, "e510683b3f5ffe4093d021808bc6ff70" },
	};
	char text[128];
	memset(text, 'a', sizeof text);
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++)
		CHECK(strcmp(hex_of(text, want[i].len), want[i].hex) == 0);
}

TEST(the_head_is_big_endian)
{
	CHECK(rl_md5_head("abc", 3) == 0x900150983cd24fb0);
	CHECK(rl_md5_head("", 0) == 0xd41d8cd98f00b204);
}

int main(void)
{
	RUN(vectors_of_the_rfc);
	RUN(lengths_about_the_padding);
	RUN(the_head_is_big_endian);
	return FINISH();
}
