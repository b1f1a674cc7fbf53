//! Compiles the assignor's shim against the headers of exactly the librdkafka that is linked.
//!
//! `DEP_RDKAFKA_ROOT` reaches this script because the crate depends on `rdkafka-sys` directly; the `cmake-build` feature
//! of rdkafka-sys would not set it.

use std::path::Path;

fn main() {
    let root = std::env::var("DEP_RDKAFKA_ROOT")
        .expect("rdkafka-sys must be a direct dependency and be built without its feature cmake-build");
    println!("cargo:rerun-if-changed=src/raw/shim.c");
    cc::Build::new()
        .file("src/raw/shim.c")
        .include(Path::new(&root).join("src"))
        // The headers are librdkafka's; their warnings are not ours to mend.
        .warnings(false)
        .compile("beltline_kafka_shim");
}
