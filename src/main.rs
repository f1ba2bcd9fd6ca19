//! The program: a step's own small roles first, everything else after.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread, runtime or argument parser: the supervisor and its child rely on being
    // single-threaded, and must cost nothing to start.
    if let Some(code) = neostock_ops::exec::dispatch(std::env::args_os()) {
        return code;
    }

    // The command line (clap) and the async main follow here.
    ExitCode::SUCCESS
}
