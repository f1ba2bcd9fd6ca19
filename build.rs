//! Rebuilds when a migration is added: `sqlx::migrate!` alone does not notice a new file.
#![expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
