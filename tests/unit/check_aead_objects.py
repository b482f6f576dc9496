#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that the machine code of the multi-buffer engine's kernels is constant in time.

  check_aead_objects.py LIBRARY CC…        exit 0: no leak in any function
  check_aead_objects.py --leaks LIBRARY    each leak_* must have one, each clean_* none

Reads `objdump -d` and follows, through every path of every function, which registers and stack
slots hold something that was computed from secret memory. Refused are: a gather or a scatter;
a branch, an address, a mask of a memory access or a division that depends on a secret; a
store of a secret to memory that is public; a call out of the object; a load through what is no known pointer;
and any instruction that this file does not know, so that nothing is passed over in silence. CC… is
a compiler command that preprocesses the engine's header, whose MB_STACK is the number of bytes that
the engine wipes after a call: what lies deeper on the stack is refused as well.

What is public is said below, by what the arguments of each kernel point to: the structs that
describe the work (pointers, lengths, counters) are, whatever else is reached is secret.
A value may be several things at once; it is secret if it may be. Compilers may move lengths
and pointers through vectors as they like: vectors and masks carry the same marks as
registers do."""

import heapq
import re
import subprocess
import sys

# What values are, as bits. A number that is public and points nowhere is 0.
SECRET = 1
GROUP = 2    # points to struct mb_group or struct mb_feed
JOB = 4      # points to struct aead_job
TEXTS = 8    # points to struct mb_texts
DATA = 16    # points to keys, texts, key stream, tags
CONST = 32   # points to constants
STACK = 64
JOBS = 128   # points to pointers to struct aead_job
POINTERS = GROUP | JOBS | JOB | TEXTS | DATA | CONST | STACK
NAMES = {SECRET: "secret", GROUP: "group", JOBS: "jobs", JOB: "job", TEXTS: "texts", DATA: "data",
         CONST: "constants", STACK: "stack"}

# Arguments of the functions, in order: rdi, rsi, rdx, rcx, r8, r9.
SIGNATURES = [
    (re.compile(r"^aead_mb_chacha_"), [GROUP, GROUP, GROUP, GROUP, JOBS]),
    (re.compile(r"^aead_mb_finish_"), [GROUP]),
    (re.compile(r"^aead_mb_xor_"), [JOBS, 0, DATA]),
    (re.compile(r"^aead_mb_poly_"), [TEXTS, 0, DATA, DATA]),
    (re.compile(r"^(leak|clean)_"), [TEXTS, DATA, 0]),
]
# What 8 bytes loaded from public structs may be; fewer are a number.
LOADS = {GROUP: DATA, JOBS: JOB, JOB: DATA, TEXTS: DATA, CONST: 0, DATA: SECRET}

WORDS = {
    "rax": "eax ax al ah", "rbx": "ebx bx bl bh", "rcx": "ecx cx cl ch", "rdx": "edx dx dl dh",
    "rsi": "esi si sil", "rdi": "edi di dil", "rbp": "ebp bp bpl", "rsp": "esp sp spl",
}
REGISTERS = {}
for whole, parts in WORDS.items():
    for name in [whole] + parts.split():
        REGISTERS[name] = whole
for i in range(8, 16):
    for suffix in ("", "d", "w", "b"):
        REGISTERS["r%d%s" % (i, suffix)] = "r%d" % i
for i in range(32):
    for kind in "xyz":
        REGISTERS["%smm%d" % (kind, i)] = "v%d" % i
for i in range(8):
    REGISTERS["k%d" % i] = "k%d" % i
LOW_BYTE = re.compile(r"^([abcd]l|[sd]il|[sb]pl|r\d+b)$")
NARROW = re.compile(r"^([abcd][xh]|[sd]i|[sb]p|r\d+w)$")
SIZES = {"BYTE": 1, "WORD": 2, "DWORD": 4, "QWORD": 8, "XMMWORD": 16, "YMMWORD": 32,
         "ZMMWORD": 64}

IGNORED = {"nop", "endbr64", "vzeroupper", "data16", "xchg ax,ax", "cs", "ud2"}
COMPARE = {"cmp", "test", "bt", "vptest", "vtestps", "vtestpd", "kortestb", "kortestw", "kortestd",
           "kortestq", "ktestb", "ktestw", "ktestd", "ktestq"}
# Destination = source, pointers included.
MOVES = re.compile(r"^(v?mov\w*|lea|kmov[bwdq]|v?lddqu|v?pbroadcast\w*|vbroadcast\w*|"
                   r"v?pinsr[bwdq]|v?pextr[bwdq]|v?p?unpck\w+|v?punpck\w+|vp?blend\w+|v?shuf\w+|"
                   r"vperm\w+|v?pshuf\w+|vinsert\w+|vextract\w+|v?palignr|valign[dq]|"
                   r"v?padd[dq]|v?psub[dq]|cmov\w+|add|sub|xchg|v?por[dq]?)$")
# Of these the old destination counts as well, whatever their form.
KEEPS_OLD = re.compile(r"^(vpmadd52\w+|vpternlog[dq]|vpermi2\w+|vpermt2\w+|vfn?m(add|sub)\w+|"
                       r"vpdp\w+|xchg|cmov\w+|adc|sbb|shld|shrd)$")
VECTOR_OPS = re.compile(r"^(v?p(add|sub|mul|and|andn|or|xor|sll|srl|sra|rol|ror|cmp|min|max|abs|"
                        r"madd|ternlog|sign|avg|lzcnt|opcnt|shld|shrd)\w*|v(xor|and|or|andn)p[sd]|"
                        r"v?pmovmskb|v?movmskp[sd]|vptestn?m[bwdq]|vpmov\w+|"
                        r"k(and|andn|or|xor|xnor|not|add|shiftl|shiftr|unpck)\w+)$")
SCALAR_OPS = {"add", "sub", "and", "or", "xor", "adc", "sbb", "imul", "shl", "shr", "sar", "rol",
              "ror", "shld", "shrd", "neg", "not", "inc", "dec", "bsf", "bsr", "popcnt", "lzcnt",
              "tzcnt", "bswap", "bextr", "rorx", "shlx", "shrx", "sarx", "andn", "blsr", "blsi",
              "blsmsk", "bzhi", "bts", "btr", "sal"}
SETS_FLAGS = SCALAR_OPS - {"not", "bswap", "rorx", "shlx", "shrx", "sarx"}
KEEPS_FLAGS = {"inc", "dec", "shl", "shr", "sar", "rol", "ror", "sal"}
READS_FLAGS = re.compile(r"^(adc|sbb|cmov\w+|set\w+)$")
SAME_IS_ZERO = re.compile(r"^(v?p(xor|sub|andn|cmpeq|cmpgt)\w*|v?xorp[sd]|xor|sub|k(xor|xnor)\w)$")
DIVISIONS = {"div", "idiv"}
JUMPS = re.compile(r"^j[a-z]+$")
TERNARY_CONSTANT = {"0x0", "0xff"}


class Leak(Exception):
    pass


# More than these are anywhere: else a loop over the stack would never be done.
PLACES_MAX = 4


def moved(at, by):
    return None if at is None else frozenset(a + by for a in at)


class Value:
    """What something may be: its lowest byte (setcc writes no more) and what is above; and if it
    may point to the stack, the places where to, or None: anywhere."""
    __slots__ = ("low", "rest", "at")

    def __init__(self, marks=0, at=None, low=None):
        self.rest, self.at = marks, at
        self.low = marks if low is None else low

    @property
    def marks(self):
        return self.low | self.rest

    def join(self, other):
        if self is other:
            return self
        if not other.marks & STACK:
            at = self.at
        elif not self.marks & STACK:
            at = other.at
        else:
            at = None if self.at is None or other.at is None else self.at | other.at
            if at is not None and len(at) > PLACES_MAX:
                at = None
        return Value(self.rest | other.rest, at, self.low | other.low)

    def same(self, other):
        return (self.rest, self.low, self.at) == (other.rest, other.low, other.at)


PUBLIC = Value()


class State:
    """Registers by name; the stack by byte, from the function's entry, and under None what was
    stored nobody knows where; flags."""

    def __init__(self):
        self.reg, self.stack, self.flags = {}, {}, 0

    def copy(self):
        s = State()
        s.reg, s.stack, s.flags = dict(self.reg), dict(self.stack), self.flags
        return s

    def merge(self, other):
        """Joins other in; tells whether anything changed."""
        changed = False
        for mine, theirs in ((self.reg, other.reg), (self.stack, other.stack)):
            for k, v in theirs.items():
                new = mine[k].join(v) if k in mine else v
                if k not in mine or not new.same(mine[k]):
                    mine[k] = new
                    changed = True
        if other.flags | self.flags != self.flags:
            self.flags |= other.flags
            changed = True
        return changed


class Memory:
    PATTERN = re.compile(r"^(?:(\w+) (?:PTR|BCST) )?(?:[cdefgs]s:)?\[?([^\]]*)\]?$")

    def __init__(self, text):
        m = self.PATTERN.match(text)
        self.size = SIZES.get(m.group(1), 8) if m.group(1) else 8
        self.parts, self.disp = [], 0
        for sign, term in re.findall(r"([+-]?)([^+-]+)", m.group(2)):
            if re.match(r"^(0x[0-9a-f]+|\d+)$", term):
                self.disp += int(term, 0) * (-1 if sign == "-" else 1)
            else:
                name, _, scale = term.partition("*")
                self.parts.append((name, int(scale or 1)))
        self.is_constant = "fs:" in text or any(n == "rip" for n, _ in self.parts)


class Instruction:
    LINE = re.compile(r"^\s*([0-9a-f]+):\s+(.*?)\s*$")

    def __init__(self, address, text):
        self.address, self.text, self.symbol = address, text, None
        text = re.sub(r"\s+#.*$", "", text)
        text = re.sub(r"\s*<.*>$", "", text)
        words = text.split(None, 1)
        while words[0] in ("cs", "data16", "rep", "repz", "bnd", "notrack", "lock", "{evex}",
                           "{vex}") and len(words) > 1:
            if words[0] == "rep":
                words = ["rep " + words[1], ""]
                break
            words = words[1].split(None, 1)
        self.op = words[0]
        rest = words[1] if len(words) > 1 else ""
        self.mask, self.zeroes = None, "{z}" in rest
        m = re.search(r"\{(k[0-7])\}", rest)
        if m:
            self.mask = m.group(1)
        rest = re.sub(r"\{(k[0-7]|z|1to\d+|r[nduz]-sae|sae)\}", "", rest)
        self.operands = [o.strip() for o in re.findall(r"(?:\[[^\]]*\]|[^,\[])+", rest)]


class Function:
    def __init__(self, name):
        self.name, self.code, self.is_walked = name, [], False


def disassemble(library):
    """A list of functions for each section of each object."""
    text = subprocess.run(["objdump", "-d", "-M", "intel", "-r", "--no-show-raw-insn", library],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    sections, functions = [], []
    for line in text.splitlines():
        if line.startswith("Disassembly of section"):
            functions = []
            sections.append(functions)
            continue
        m = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
        if m:
            functions.append(Function(m.group(1)))
            continue
        m = re.match(r"^\s+[0-9a-f]+: R_X86_64_\w+\s+([\w.]+)", line)
        if m:
            functions[-1].code[-1].symbol = m.group(1)
            continue
        m = Instruction.LINE.match(line)
        if m and functions:
            functions[-1].code.append(Instruction(int(m.group(1), 16), m.group(2)))
    return sections


class Walk:
    """One function, from its entry along every path until nothing new is learnt."""

    def __init__(self, function, start, others):
        """others: the functions of the same object by address, which may be called."""
        self.function, self.others, self.leaks = function, others, {}
        self.index = {i.address: n for n, i in enumerate(function.code)}
        self.before, self.exit, self.depth = {0: start}, None, 0
        function.is_walked = True
        self.run()

    @classmethod
    def of_arguments(cls, function, arguments, others):
        start = State()
        for name, marks in zip(("rdi", "rsi", "rdx", "rcx", "r8", "r9"), arguments):
            start.reg[name] = Value(marks)
        start.reg["rsp"] = Value(STACK, frozenset([0]))
        return cls(function, start, others)

    def leaders(self):
        """Where paths meet or part: states are kept there alone."""
        code, out = self.function.code, {0}
        for n, i in enumerate(code):
            if i.op == "jmp" or JUMPS.match(i.op):
                out.add(n + 1)
                m = re.match(r"^(?:0x)?([0-9a-f]+)$", i.operands[0])
                out.add(self.index.get(int(m.group(1), 16)) if m else None)
        return out

    def run(self):
        leaders, work, code = self.leaders(), [0], self.function.code
        while work:
            n = heapq.heappop(work)
            state = self.before[n].copy()
            while True:
                try:
                    following = self.step(n, code[n], state)
                except Leak as leak:
                    self.leaks[code[n].address] = "%s: %s" % (code[n].text, leak)
                    following = self.fall(n)
                if following != [n + 1] or n + 1 in leaders:
                    break
                n += 1
            for target in following:
                if target not in self.before:
                    self.before[target] = state.copy()
                elif not self.before[target].merge(state):
                    continue
                if target not in work:
                    heapq.heappush(work, target)

    def fall(self, n):
        return [n + 1] if n + 1 < len(self.function.code) else []

    # Operands

    def get(self, s, name):
        value = s.reg.get(REGISTERS[name], PUBLIC)
        return Value(value.low) if LOW_BYTE.match(name) else value

    def set(self, s, name, value):
        reg = REGISTERS[name]
        old = s.reg.get(reg, PUBLIC)
        if LOW_BYTE.match(name):
            value = Value(old.rest, None, value.low)
        elif NARROW.match(name):
            value = Value(value.marks | old.marks)
        s.reg[reg] = value

    def address(self, s, m):
        """The marks of an address and its place on the stack, if that is known."""
        if m.is_constant:
            return CONST, None
        marks, at = self.address_of(s, m)
        if marks & SECRET:
            raise Leak("an address depends on a secret")
        return marks, at

    def load(self, s, code, m):
        marks, at = self.address(s, m)
        if code.mask and s.reg.get(code.mask, PUBLIC).marks & SECRET:
            raise Leak("the mask of a load depends on a secret")
        if not marks & POINTERS:
            raise Leak("loads through what is no known pointer")
        if marks == STACK and at is not None:
            return self.load_stack(s, at, m.size)
        out = 0
        if marks & STACK and at is not None:
            out = self.load_stack(s, at, m.size).marks
            marks &= ~STACK
        for pointer, result in LOADS.items():
            if marks & pointer:
                # A pointer has eight bytes; vectors may hold several.
                out |= result if m.size >= 8 or result == SECRET else 0
        if marks & STACK:
            for v in s.stack.values():
                out |= v.marks
        return Value(out)

    def load_stack(self, s, places, size):
        value = None
        for at in places:
            first = s.stack.get(at, PUBLIC)
            rest = low = s.stack.get(None, PUBLIC).marks
            low |= first.marks
            for i in range(at + 1, at + size):
                rest |= s.stack.get(i, PUBLIC).marks
            v = Value(rest, first.at if size == 8 and rest == first.marks else None, low)
            value = v if value is None else value.join(v)
        return value

    def store(self, s, code, m, value):
        marks, at = self.address(s, m)
        if code.mask and s.reg.get(code.mask, PUBLIC).marks & SECRET:
            raise Leak("the mask of a store depends on a secret")
        if marks & (GROUP | JOBS | JOB | TEXTS | CONST) and value.marks & SECRET:
            raise Leak("a secret is stored where all is public")
        if not marks & POINTERS:
            raise Leak("stores through what is no known pointer")
        if not marks & STACK:
            return
        if at is None:
            s.stack[None] = Value(s.stack.get(None, PUBLIC).marks | value.marks)
            return
        self.depth = max(self.depth, -min(at))
        is_sure = marks == STACK and len(at) == 1 and not code.mask
        for place in at:
            for i in range(place, place + m.size):
                new = Value(value.low if i == place else value.rest,
                            value.at if i == place else None)
                s.stack[i] = new if is_sure else s.stack.get(i, PUBLIC).join(new)

    def read(self, s, code, text):
        if text in REGISTERS:
            return self.get(s, text)
        if "[" in text or "fs:" in text:
            return self.load(s, code, Memory(text))
        if re.match(r"^-?(0x[0-9a-f]+|\d+)$", text):
            return PUBLIC
        raise Leak("operand '%s' is not known" % text)

    def write(self, s, code, text, value):
        if text in REGISTERS:
            self.set(s, text, value)
        elif "[" in text:
            self.store(s, code, Memory(text), value)
        else:
            raise Leak("operand '%s' is not known" % text)

    # Instructions

    def step(self, n, code, s):
        op, args = code.op, code.operands
        if "gather" in op or "scatter" in op:
            raise Leak("a gather or scatter")
        if op in IGNORED:
            return self.fall(n)
        if op == "ret":
            return self.leave(s)
        if op == "call" and code.symbol == "__stack_chk_fail":
            return []
        if op == "call":
            return self.call(n, code, s)
        if op == "jmp" or JUMPS.match(op):
            return self.jump(n, code, s)
        if op == "vzeroall":
            for name in [k for k in s.reg if k[0] == "v"]:
                s.reg[name] = PUBLIC
            return self.fall(n)
        if op == "push":
            value = self.read(s, code, args[0])
            top = self.get(s, "rsp")
            self.set(s, "rsp", Value(STACK, moved(top.at, -8)))
            self.store(s, code, Memory("QWORD PTR [rsp]"), value)
            return self.fall(n)
        if op == "pop":
            value = self.load(s, code, Memory("QWORD PTR [rsp]"))
            top = self.get(s, "rsp")
            self.set(s, "rsp", Value(STACK, moved(top.at, 8)))
            self.write(s, code, args[0], value)
            return self.fall(n)
        if op == "leave":
            top = self.get(s, "rbp")
            self.set(s, "rbp", self.load(s, code, Memory("QWORD PTR [rbp]")))
            self.set(s, "rsp", Value(STACK, moved(top.at, 8)))
            return self.fall(n)
        if op in ("cdq", "cqo", "cdqe", "cwde"):
            wide = self.get(s, "rax")
            self.set(s, "rdx" if op in ("cdq", "cqo") else "rax", Value(wide.marks))
            return self.fall(n)
        if op in DIVISIONS:
            if (self.read(s, code, args[0]).marks | self.get(s, "rax").marks |
                    self.get(s, "rdx").marks) & SECRET:
                raise Leak("a division of a secret")
            self.set(s, "rax", PUBLIC)
            self.set(s, "rdx", PUBLIC)
            return self.fall(n)
        if op in ("mul", "imul") and len(args) == 1:
            marks = (self.read(s, code, args[0]).marks | self.get(s, "rax").marks) & SECRET
            self.set(s, "rax", Value(marks))
            self.set(s, "rdx", Value(marks))
            s.flags = marks
            return self.fall(n)
        if op in COMPARE:
            marks = 0
            for a in args:
                marks |= self.read(s, code, a).marks
            s.flags = marks & SECRET
            return self.fall(n)
        if op.startswith("set"):
            self.write(s, code, args[0], Value(s.flags))
            return self.fall(n)
        return self.compute(n, code, s)

    def leave(self, s):
        if self.exit is None:
            self.exit = s.copy()
        else:
            self.exit.merge(s)
        return []

    def into(self, code, s):
        """Walks a function of the same object with this state; s becomes that at its end."""
        m = re.match(r"^(?:0x)?([0-9a-f]+)$", code.operands[0])
        other = self.others.get(int(m.group(1), 16)) if m and not code.symbol else None
        if other is None or other is self.function:
            return False
        inner = Walk(other, s.copy(), self.others)
        self.depth = max(self.depth, inner.depth)
        for at, text in inner.leaks.items():
            self.leaks[at] = other.name + ": " + text
        if inner.exit is not None:
            s.reg, s.stack, s.flags = inner.exit.reg, inner.exit.stack, inner.exit.flags
        return True

    def call(self, n, code, s):
        top = self.get(s, "rsp")
        self.set(s, "rsp", Value(STACK, moved(top.at, -8)))
        if not self.into(code, s):
            self.set(s, "rsp", top)
            raise Leak("a call, where it leads is not followed")
        self.set(s, "rsp", top)
        return self.fall(n)

    def jump(self, n, code, s):
        if code.op != "jmp" and s.flags & SECRET:
            raise Leak("a branch depends on a secret")
        m = re.match(r"^(?:0x)?([0-9a-f]+)$", code.operands[0])
        target = self.index.get(int(m.group(1), 16)) if m and not code.symbol else None
        if target is None and code.op == "jmp" and self.into(code, s):
            return self.leave(s)
        if target is None:
            raise Leak("a jump out of the function, or to an address that is computed")
        return [target] + (self.fall(n) if code.op != "jmp" else [])

    def compute(self, n, code, s):
        op, args = code.op, code.operands
        is_move, is_scalar = MOVES.match(op), op in SCALAR_OPS
        if not (is_move or is_scalar or VECTOR_OPS.match(op)):
            raise Leak("this instruction is not known")
        if op == "lea":
            marks, at = self.address_of(s, Memory(args[1]))
            self.set(s, args[0], Value(marks, at))
            return self.fall(n)
        value = self.result(code, s, is_move)
        if is_scalar and op in SETS_FLAGS:
            s.flags = (value.marks & SECRET) | (s.flags if op in KEEPS_FLAGS else 0)
        if op == "xchg":
            self.write(s, code, args[1], value)
        self.write(s, code, args[0], value)
        return self.fall(n)

    def address_of(self, s, m):
        """For lea, which may compute with secrets as long as it does not go there."""
        if m.is_constant:
            return CONST, None
        marks, at = 0, None
        for name, scale in m.parts:
            v = self.get(s, name)
            # What is multiplied is no pointer, whatever else it may be.
            marks |= v.marks if scale == 1 else v.marks & SECRET
            if scale == 1 and len(m.parts) == 1:
                at = moved(v.at, m.disp)
        return marks, at if marks & STACK else None

    def result(self, code, s, is_move):
        op, args = code.op, code.operands
        if op == "mov":
            return self.read(s, code, args[1])
        sources = args[1:]
        regs = [a for a in args if a in REGISTERS]
        if SAME_IS_ZERO.match(op) and len(regs) == len(args) and len(set(args[-2:])) == 1:
            return PUBLIC
        if op.startswith("vpternlog") and args[-1] in TERNARY_CONSTANT:
            return PUBLIC
        # Instructions of two operands compute with the first, unless they are moves.
        keeps = KEEPS_OLD.match(op) or (code.mask and not code.zeroes) or len(args) == 1
        if len(args) == 2 and not op.startswith(("v", "k", "mov", "popcnt", "lzcnt", "tzcnt",
                                                 "bs", "bls")):
            keeps = True
        if keeps and "[" not in args[0]:
            sources = args
        elif keeps and not code.mask:
            sources = args
        marks = s.flags if READS_FLAGS.match(op) else 0
        value = None
        for a in sources:
            v = self.read(s, code, a)
            marks |= v.marks
            value = v
        if code.mask:
            marks |= s.reg.get(code.mask, PUBLIC).marks
        if not is_move:
            if op == "and" and args[0] == "rsp":
                # Aligned: a stack from here on, whose distance to the old one nobody uses.
                at = self.get(s, "rsp").at
                return Value(STACK, moved(at, -64))
            return Value(marks & SECRET)
        at = None
        if marks & STACK and op in ("add", "sub") and re.match(r"^-?(0x)?[0-9a-f]+$", args[1]):
            at = self.get(s, args[0]).at
            delta = int(args[1], 0)
            if delta >= 1 << 63:
                delta -= 1 << 64
            at = moved(at, delta if op == "add" else -delta)
        elif len(sources) == 1 and value is not None and marks == value.marks:
            at = value.at
        return Value(marks, at)


# Frames between the engine, which wipes from its own on, and a kernel.
BETWEEN = 512


def check(function, others, stack):
    for pattern, arguments in SIGNATURES:
        if pattern.match(function.name):
            walk = Walk.of_arguments(function, arguments, others)
            leaks = ["0x%x: %s" % (at, text) for at, text in sorted(walk.leaks.items())]
            if walk.depth + BETWEEN > stack:
                leaks.append("%d bytes of stack, of which too little is wiped" % walk.depth)
            return leaks
    return [] if function.is_walked else ["say in SIGNATURES what its arguments point to"]


def wiped_stack(command):
    text = subprocess.run(command + ["-E", "-dM"], stdout=subprocess.PIPE, check=True,
                          text=True).stdout
    return int(re.search(r"^#define MB_STACK (\d+)$", text, re.M).group(1))


def main():
    wants_leaks = sys.argv[1] == "--leaks"
    library = sys.argv[2 if wants_leaks else 1]
    stack = 1 << 20 if wants_leaks else wiped_stack(sys.argv[2:])
    bad = seen = 0
    for functions in disassemble(library):
        others = {f.code[0].address: f for f in functions}
        # Those without a signature last: by then a caller has shown what they get.
        for f in sorted(functions, key=lambda f: not any(p.match(f.name)
                                                         for p, _ in SIGNATURES)):
            leaks = check(f, others, stack)
            seen += 1
            is_right = bool(leaks) == (wants_leaks and f.name.startswith("leak_"))
            bad += not is_right
            print("%s %s (%d instructions)" % ("ok" if is_right else "FAIL", f.name,
                                               len(f.code)))
            for text in leaks[:8]:
                print("    " + text)
    if not seen:
        print("FAIL no function found")
    return 1 if bad or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
