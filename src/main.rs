//! The `perpend` command.

fn main() -> std::process::ExitCode {
    perpend::cli::main().into()
}
