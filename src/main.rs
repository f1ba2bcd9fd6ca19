//! The command line: which part of the product runs, and its exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread, runtime or argument parser: the supervisor and its child rely on being
    // single-threaded, and must cost nothing to start.
    if let Some(code) = neostock_ops::exec::dispatch(std::env::args_os()) {
        return code;
    }
    cli::main()
}
