"""Target files, device names, and code for every target."""

import struct
import tomllib
from pathlib import Path

import neomlir.targets as targets
import pytest
from neomlir.codegen.elf_symbols import undefined_symbols
from neomlir.codegen.link import link_shared
from neomlir.codegen.objects import emit_object
from neomlir.codegen.target_ir import specialized
from neomlir.errors import TargetError
from neomlir.targets import Target

FOLDER = Path(targets.__file__).parent
ELF_MACHINES = {"x86_64": 62, "aarch64": 183, "armv7": 40, "riscv64": 243}
AXPY = """
define void @axpy(ptr %x, ptr %y, i64 %i) {
  %p = getelementptr <8 x float>, ptr %x, i64 %i
  %q = getelementptr <8 x float>, ptr %y, i64 %i
  %a = load <8 x float>, ptr %p, align 4
  %b = load <8 x float>, ptr %q, align 4
  %c = fadd <8 x float> %a, %b
  store <8 x float> %c, ptr %q, align 4
  ret void
}
"""


@pytest.mark.parametrize("name", targets.names())
def test_facts_are_plausible(name):
    target = Target.named(name)
    assert target.vector.bits in (32, 128, 256, 512)
    assert target.vector.registers in (16, 32)
    assert 0 <= target.vector.fma_ports <= 4
    assert 16384 <= target.cache.l1d < target.cache.l2
    assert target.cache.line in (64, 128)
    assert target.description and not target.description.endswith(".")


@pytest.mark.parametrize("name", targets.names())
def test_code_is_made_for_every_target(name):
    target = Target.named(name)
    code = emit_object(AXPY, target)
    if target.architecture in ELF_MACHINES:
        assert code[:4] == b"\x7fELF"
        assert code[4] == target.pointer_bits // 32
        assert struct.unpack_from("<H", code, 18)[0] == ELF_MACHINES[target.architecture]
    else:
        assert code[:4] == {"wasm32": b"\0asm", "arm64": b"\xcf\xfa\xed\xfe"}[target.architecture]


def test_every_device_has_a_target():
    assert {Target.named(target).name for target in targets.devices().values()} <= set(targets.names())
    assert Target.named("rasp4b").architecture == "armv7"
    assert Target.named("ml_c7g").cpu == "neoverse-v1"
    assert Target.named("jetson_nano").cpu == "cortex-a57"


def test_accelerators_are_told_apart():
    with pytest.raises(TargetError, match="'ml_inf1': AWS Inferentia is no CPU"):
        Target.named("ml_inf1")


def test_a_name_means_one_target():
    told = [n for name in targets.names() for n in (name, *Target.named(name).aliases)] + list(targets.devices())
    assert sorted(told) == sorted(set(told))


def test_what_linux_says_of_arm():
    """A Graviton3 has what its target needs; of different cores only what all have counts."""
    told = (
        "processor\t: {}\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp "
        "asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm "
        "ssbs paca pacg dcpodp svei8mm svebf16 i8mm bf16 dgh rng\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n\n"
    )
    found = targets._features_of_arm(told.format(0) + told.format(1))
    assert set(Target.named("neoverse-v1").needs) <= found and "sve2" not in found
    small = "processor\t: 2\nFeatures\t: fp asimd atomics asimddp\n"
    assert targets._features_of_arm(told.format(0) + small) == {"fp", "asimd", "lse", "dotprod"}
    assert targets._features_of_arm("") == frozenset()


def test_unknown_names_get_the_nearest():
    with pytest.raises(TargetError, match="did you mean 'jetson_nano'"):
        Target.named("jetson-nano")


def test_a_file_takes_from_its_base_what_it_does_not_say():
    base, x60 = Target.named("riscv64-v"), Target.named("spacemit-x60")
    own = tomllib.loads((FOLDER / "spacemit-x60.toml").read_text())
    assert own["base"] == "riscv64-v" and "triple" not in own
    assert (x60.triple, x60.abi, x60.cache) == (base.triple, base.abi, base.cache)
    assert (base.vector.bits, x60.vector.bits, x60.needs) == (128, 256, ("v", "zvl256b"))
    assert "rv64gcv" not in x60.aliases


def test_the_host_is_a_target_that_runs_here():
    host = Target.host()
    assert host.runs_here() and "musl" not in host.triple
    assert not Target.named("armv7-neon").runs_here()
    assert Target.named("armv7-neon").missing_here() is None


def test_sve_code_is_told_how_long_vectors_may_be():
    text = specialized(AXPY, Target.named("neoverse-v1"))
    assert "define void @axpy(ptr %x, ptr %y, i64 %i) vscale_range(1,16) {" in text
    assert specialized(AXPY, Target.named("neoverse-n1")) == AXPY


def test_sizes_have_32_bits_where_pointers_have():
    text = "declare ptr @malloc(i64)\ndefine ptr @f() {\n  %p = call ptr @malloc(i64 8)\n  ret ptr %p\n}\n"
    narrow = specialized(text, Target.named("armv7-neon"))
    assert "declare ptr @malloc(i32)" in narrow and "call ptr @neo.malloc(i64 8)" in narrow
    assert emit_object(text, Target.named("wasm32-simd128"))
    assert specialized(text, Target.named("riscv64")) == text


def test_what_the_machine_cannot_divide_is_linked_in():
    text = "define i64 @f(i64 %a, i64 %b) {\n  %q = udiv i64 %a, %b\n  ret i64 %q\n}\n"
    target = Target.named("armv7-neon")
    assert undefined_symbols(emit_object(text, target)) == {"__aeabi_uldivmod"}
    library = link_shared([emit_object(text, target)], target, ["f"])
    assert b"__aeabi_uldivmod" not in library and len(library) < 5000
