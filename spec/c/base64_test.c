/* SPDX-License-Identifier: MIT */
/* base64: the vectors of RFC 4648, section 10; all lengths and bytes there and back; what is no
 * base64. */
#include "base/base64.h"

#include "check.h"

#include "base/rand.h"

static const char *const vectors[][2] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
};

TEST(vectors_of_the_rfc)
{
	char out[16];
	for (unsigned i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		const char *plain = vectors[i][0], *text = vectors[i][1];
		size_t n = rl_base64_encode(plain, strlen(plain), out);
		CHECK_EQ(n, strlen(text));
		CHECK_EQ(n, RL_BASE64_LEN(strlen(plain)));
		CHECK(memcmp(out, text, n) == 0);
		CHECK_EQ(rl_base64_decode(text, n, out), strlen(plain));
		CHECK(memcmp(out, plain, strlen(plain)) == 0);
	}
}

TEST(random_bytes_come_back)
{
	struct rl_rand r;
	unsigned char bytes[64], again[66];
	char text[RL_BASE64_LEN(sizeof bytes)];
	rl_rand_seed(&r, 1);
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)round % (sizeof bytes + 1);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (unsigned char)rl_rand_next(&r);
		size_t n = rl_base64_encode(bytes, len, text);
		CHECK_EQ(rl_base64_decode(text, n, again), len);
		CHECK(memcmp(bytes, again, len) == 0);
	}
}

TEST(what_is_no_base64)
{
	static const char *const bad[] = {
		"Z", "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zh==", "Zm9=", "Zm 9", "Zm9-", "Zm9_",
		"Zm\n9", "=m9v", "Z=9v", "Zg=v",
	};
	char out[16];
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_EQ(rl_base64_decode(bad[i], strlen(bad[i]), out), -1);
}

int main(void)
{
	RUN(vectors_of_the_rfc);
	RUN(random_bytes_come_back);
	RUN(what_is_no_base64);
	return FINISH();
}
