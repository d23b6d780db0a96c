//! The node's program; see the library.

fn main() -> std::process::ExitCode {
    mesh_node::main()
}
