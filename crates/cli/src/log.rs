//! The log on stderr, and the progress bars that share it.

use std::io::{IsTerminal as _, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts the log. `verbose` counts how often `-v` was given; `RUST_LOG` overrides it.
pub fn start(verbose: u8, format: LogFormat) {
    let level = match verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(format!("warn,wal2es={level},apply={level},wal={level},snapshot={level}"))
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(verbose > 0);
    let for_people = std::io::stderr().is_terminal() && format == LogFormat::Text;
    FOR_A_TERMINAL.store(for_people, Ordering::Relaxed);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

static FOR_A_TERMINAL: AtomicBool = AtomicBool::new(false);
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// The log goes to a terminal, as text: progress may be shown as bars.
pub(crate) fn is_for_a_terminal() -> bool {
    FOR_A_TERMINAL.load(Ordering::Relaxed)
}

/// The bars that the log knows of.
pub(crate) fn bars() -> &'static MultiProgress {
    &BARS
}

/// Takes the bars away while a line is written, which the log hands over whole.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if is_for_a_terminal() {
            return bars().suspend(|| std::io::stderr().write(line));
        }
        std::io::stderr().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
