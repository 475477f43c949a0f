//! The command line: see [`filbert::cli`].

fn main() -> std::process::ExitCode {
    filbert::cli::run(std::env::args_os().collect()).into()
}
