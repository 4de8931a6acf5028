//! The program `cloud-hub`. Everything is in the library.

fn main() -> std::process::ExitCode {
    cloud_hub::cli::main()
}
