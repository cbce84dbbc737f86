"""Builds the hot loops of the index. Without a compiler the numpy twin serves in their place."""

from setuptools import Extension, setup

SOURCES = ("kernel", "words", "stem", "build", "locate", "heads", "exact", "budget", "search")

setup(
    # The extension keeps to the stable interface: one wheel serves every Python from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    ext_modules=[
        Extension(
            "synapse.retrieval._kernel",
            [f"synapse/retrieval/native/{name}.c" for name in SOURCES],
            depends=[f"synapse/retrieval/native/{name}.h" for name in ("kernel", "search")],
            # Doubles must round as Python's do, so no operation may be fused with the next.
            extra_compile_args=[
                "-O3",
                "-std=c11",
                "-ffp-contract=off",
                "-fvisibility=hidden",
                "-g0",
            ],
            py_limited_api=True,
            optional=True,
        )
    ],
)
