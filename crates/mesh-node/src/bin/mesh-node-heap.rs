//! The node's program with a book of its heap, for `meshlab run --profile heap`; see the library.

#[global_allocator]
static HEAP: meshlab_agent::HeapRecorder = meshlab_agent::HeapRecorder;

fn main() -> std::process::ExitCode {
    mesh_node::main()
}
