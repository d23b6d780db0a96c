//! The relay's program: a program of its own, so that nodes do not carry its code.

fn main() -> std::process::ExitCode {
    mesh_node::relay::main()
}
