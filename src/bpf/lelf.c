/* SPDX-License-Identifier: MIT */
/*
 * lelf: is this an object file that libbpf can be given? libbpf trusts its input: an offset that
 * points outside makes it read there. So everything in the file that says where something is gets
 * checked first: sections, symbols, relocations; and the types, by lbtf.c.
 */
#include "bpf/lbpf.h"

#include <elf.h>
#include <string.h>

#define BSS_MAX (64u << 20)

struct file {
	const char *bytes;
	size_t len;
	Elf64_Ehdr head;
	const char *names; /* of sections */
	size_t names_len;
	Elf64_Shdr symbols;
	unsigned symbols_at; /* 0: none */
};

static Elf64_Shdr section(const struct file *f, unsigned i)
{
	Elf64_Shdr s;
	memcpy(&s, f->bytes + f->head.e_shoff + i * sizeof s, sizeof s);
	return s;
}

static bool is_inside(uint64_t at, uint64_t len, uint64_t size)
{
	return at <= size && len <= size - at;
}

static const char *name_of(const struct file *f, const Elf64_Shdr *s)
{
	return f->names + s->sh_name;
}

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static const char *check_head(struct file *f)
{
	if (f->len < sizeof f->head)
		return "the file is too short";
	memcpy(&f->head, f->bytes, sizeof f->head);
	const unsigned char *ident = f->head.e_ident;
	if (memcmp(ident, ELFMAG, SELFMAG) != 0)
		return "it does not begin as ELF files do";
	if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB
		|| ident[EI_VERSION] != EV_CURRENT || f->head.e_version != EV_CURRENT)
		return "it is not of 64 bits, little-endian";
	if (f->head.e_type != ET_REL || f->head.e_machine != EM_BPF)
		return "it is not for BPF";
	if (f->head.e_ehsize != sizeof f->head || f->head.e_shentsize != sizeof(Elf64_Shdr)
		|| f->head.e_shoff % 8 != 0 || f->head.e_shnum < 2 || f->head.e_shnum >= SHN_LORESERVE
		|| !is_inside(f->head.e_shoff, f->head.e_shnum * sizeof(Elf64_Shdr), f->len)
		|| f->head.e_shstrndx >= f->head.e_shnum)
		return "its table of sections is broken, or cut off";
	return NULL;
}

/* A table of strings has a NUL at its end, so any offset into it is one of a string. */
static bool is_strings(const struct file *f, const Elf64_Shdr *s)
{
	return s->sh_type == SHT_STRTAB && s->sh_size > 0 && is_inside(s->sh_offset, s->sh_size, f->len)
		&& f->bytes[s->sh_offset + s->sh_size - 1] == '\0';
}

/* Only variables that are zero have no bytes in the file. */
static const char *check_size(const struct file *f, const Elf64_Shdr *s)
{
	if (s->sh_type == SHT_NOBITS)
		return begins(name_of(f, s), ".bss") && s->sh_size <= BSS_MAX ? NULL
			: "a section has no bytes";
	if (!is_inside(s->sh_offset, s->sh_size, f->len))
		return "a section is cut off";
	if (s->sh_flags & SHF_EXECINSTR && (s->sh_size % 8 != 0 || s->sh_offset % 8 != 0))
		return "a section of instructions is broken";
	return NULL;
}

static const char *check_section(struct file *f, unsigned i)
{
	Elf64_Shdr s = section(f, i);
	if (s.sh_name >= f->names_len || s.sh_link >= f->head.e_shnum)
		return "a section has no name";
	if (s.sh_addralign & (s.sh_addralign - 1) || s.sh_addralign > 4096
		|| s.sh_flags & SHF_COMPRESSED)
		return "a section is laid out as none is";
	if (s.sh_type == SHT_STRTAB && !is_strings(f, &s))
		return "a table of strings is broken";
	if (s.sh_type == SHT_SYMTAB) {
		if (f->symbols_at > 0)
			return "there are two tables of symbols";
		f->symbols = s;
		f->symbols_at = i;
	}
	return i > 0 ? check_size(f, &s) : NULL;
}

static const char *check_sections(struct file *f)
{
	Elf64_Shdr names = section(f, f->head.e_shstrndx);
	if (!is_strings(f, &names))
		return "the names of its sections are broken";
	f->names = f->bytes + names.sh_offset;
	f->names_len = names.sh_size;
	const char *why = NULL;
	for (unsigned i = 0; i < f->head.e_shnum && !why; i++)
		why = check_section(f, i);
	return why;
}

static bool is_symbol(const struct file *f, const Elf64_Sym *y, size_t names_len)
{
	if (y->st_name >= names_len)
		return false;
	if (y->st_shndx == SHN_UNDEF || y->st_shndx >= SHN_LORESERVE)
		return true;
	if (y->st_shndx >= f->head.e_shnum)
		return false;
	Elf64_Shdr s = section(f, y->st_shndx);
	return is_inside(y->st_value, y->st_size, s.sh_size);
}

static const char *check_symbols(const struct file *f)
{
	if (f->symbols_at == 0)
		return "it has no symbols";
	Elf64_Shdr names = section(f, f->symbols.sh_link);
	if (!is_strings(f, &names) || f->symbols.sh_entsize != sizeof(Elf64_Sym)
		|| f->symbols.sh_size % sizeof(Elf64_Sym) != 0)
		return "its table of symbols is broken";
	for (uint64_t at = 0; at < f->symbols.sh_size; at += sizeof(Elf64_Sym)) {
		Elf64_Sym y;
		memcpy(&y, f->bytes + f->symbols.sh_offset + at, sizeof y);
		if (!is_symbol(f, &y, names.sh_size))
			return "a symbol is broken";
	}
	return NULL;
}

static const char *check_relocations(const struct file *f, const Elf64_Shdr *s)
{
	if (s->sh_entsize != sizeof(Elf64_Rel) || s->sh_size % sizeof(Elf64_Rel) != 0
		|| s->sh_info >= f->head.e_shnum || s->sh_link != f->symbols_at)
		return "a table of relocations is broken";
	Elf64_Shdr target = section(f, s->sh_info);
	bool is_code = target.sh_flags & SHF_EXECINSTR;
	for (uint64_t at = 0; at < s->sh_size; at += sizeof(Elf64_Rel)) {
		Elf64_Rel r;
		memcpy(&r, f->bytes + s->sh_offset + at, sizeof r);
		if (ELF64_R_SYM(r.r_info) >= f->symbols.sh_size / sizeof(Elf64_Sym)
			|| !is_inside(r.r_offset, is_code ? 8 : 4, target.sh_size)
			|| (is_code && r.r_offset % 8 != 0))
			return "a relocation is broken";
	}
	return NULL;
}

const char *rl_bpf_check_elf(const char *bytes, size_t len)
{
	struct file f = {.bytes = bytes, .len = len};
	const char *why = check_head(&f);
	if (!why)
		why = check_sections(&f);
	if (!why)
		why = check_symbols(&f);
	for (unsigned i = 1; !why && i < f.head.e_shnum; i++) {
		Elf64_Shdr s = section(&f, i);
		if (s.sh_type == SHT_REL)
			why = check_relocations(&f, &s);
		else if (s.sh_type == SHT_RELA)
			why = "it has relocations that BPF does not have";
		else if (strcmp(name_of(&f, &s), ".BTF") == 0)
			why = rl_bpf_check_btf(bytes + s.sh_offset, s.sh_size);
	}
	return why;
}
