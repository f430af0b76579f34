# Short names for the lines that CI calls; nothing here is needed to build or test.

# Everything CI checks.
check:
    bash .ci/run

# All tests.
test:
    cargo test --workspace

# The chain on this machine.
demo:
    cargo run --release -- demo

# What the chain costs, beside plain relays.
bench:
    cargo run --release -- bench chain

# Every fuzz target for so many seconds each, one after the other; stops at the first that fails.
fuzz SECONDS:
    bash fuzz/all {{SECONDS}}

# Mistakes planted in copies of the tree, each of which the simulator must notice.
planted *NAMES:
    crates/simulator/planted/run {{NAMES}}

# Licences, duplicates, sources, and known flaws (fetches the advisory database).
deny:
    cargo deny --workspace --all-features check
