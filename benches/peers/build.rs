//! Which compiler built what is measured: its name belongs beside the figures.

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(compiler).arg("--version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo:rustc-env=PEERS_COMPILER={}", said.unwrap_or_else(|_| "an unknown compiler".to_owned()));
    println!("cargo:rerun-if-changed=build.rs");
}
