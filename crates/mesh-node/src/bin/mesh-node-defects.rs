//! The node's program with mistakes that can be planted, for `meshlab selftest`; see the library.
//! A program of its own, so that the one that is shipped never has them.

fn main() -> std::process::ExitCode {
    mesh_node::main()
}
