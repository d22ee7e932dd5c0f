//! The command `wal2es`.

use std::process::ExitCode;

use wal2es::args::Args;
use wal2es::{commands, log};

fn main() -> ExitCode {
    let args = Args::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    log::start(args.verbose, args.log_format);
    // Two threads: one carries the stream to the index, the other keeps reading and answering the source.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(commands::perform(args));
            // What is still connecting or writing must not hold up the end.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(wal2es::failure::Failure::retry(
            format!("the runtime does not start: {error}"),
            "check the limits of the process (ulimit -a)",
        )),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}
