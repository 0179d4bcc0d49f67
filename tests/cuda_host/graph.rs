//! Graphs: chains of kernels and of children, which are products.

use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::work::{Work, submit};
use super::{GRAPH, INVALID_VALUE, LEFT, complain, flag, has_fault, in_context, lock};

pub static LAUNCHES: AtomicI64 = AtomicI64::new(0);

struct Graph {
    nodes: Mutex<Vec<Vec<Work>>>,
}

unsafe fn graph_of(graph: usize) -> &'static Graph {
    unsafe { &*(graph as *const Graph) }
}

pub fn new(nodes: Vec<Vec<Work>>) -> usize {
    LEFT[GRAPH].fetch_add(1, SeqCst);
    Box::into_raw(Box::new(Graph { nodes: Mutex::new(nodes) })) as usize
}

/// As a graph's node is described.
#[repr(C)]
pub struct Description {
    function: usize,
    groups: [c_uint; 3],
    items: [c_uint; 3],
    shared: c_uint,
    arguments: *const *const u64,
    extra: *const c_void,
    kernel: usize,
    context: usize,
}

impl Description {
    unsafe fn work(&self) -> Result<Work, u32> {
        let [x, y, z] = self.groups;
        if self.items[1..] != [1, 1] || self.shared != 0 || !self.extra.is_null() {
            complain("a node that is described in an unknown way");
        }
        unsafe { Work::kernel(self.function, [x, y, z, self.items[0]], self.arguments) }
    }
}

unsafe fn add(
    node: *mut usize,
    graph: usize,
    before: *const usize,
    count: usize,
    works: Vec<Work>,
) -> u32 {
    let mut nodes = lock(unsafe { &graph_of(graph).nodes });
    // A chain: every node waits for the one before it.
    let expected = (!nodes.is_empty()).then_some(nodes.len());
    unsafe {
        if before.as_ref().copied() != expected || count != usize::from(expected.is_some()) {
            complain("a node that does not wait for the one before it");
            return INVALID_VALUE;
        }
        nodes.push(works);
        *node = nodes.len();
    }
    in_context()
}

super::calls! {
    cuGraphCreate(graph: *mut usize, _flags: c_uint) { *graph = new(Vec::new()); in_context() }
    cuGraphAddKernelNode_v2(
        node: *mut usize, graph: usize, before: *const usize, count: usize, what: *const Description
    ) {
        match (*what).work() {
            Ok(work) => add(node, graph, before, count, vec![work]),
            Err(code) => code,
        }
    }
    cuGraphAddChildGraphNode(node: *mut usize, graph: usize, before: *const usize, count: usize, child: usize) {
        let works = lock(&graph_of(child).nodes).concat();
        if works.is_empty() { complain("a child without works"); }
        add(node, graph, before, count, works)
    }
    cuGraphInstantiateWithFlags(instance: *mut usize, graph: usize, _flags: u64) {
        let nodes = lock(&graph_of(graph).nodes).clone();
        *instance = new(nodes);
        in_context()
    }
    cuGraphExecKernelNodeSetParams_v2(instance: usize, node: usize, what: *const Description) {
        match (*what).work() {
            Ok(work) => {
                let mut nodes = lock(&graph_of(instance).nodes);
                let same = match (&nodes[node - 1][..], &work) {
                    ([Work::Kernel { function: one, .. }], Work::Kernel { function: other, .. }) => Arc::ptr_eq(one, other),
                    _ => false,
                };
                if !same { complain("a node is told another kernel"); return INVALID_VALUE; }
                if !has_fault("node") { nodes[node - 1] = vec![work]; }
                in_context()
            }
            Err(code) => code,
        }
    }
    cuGraphExecChildGraphNodeSetParams(instance: usize, node: usize, child: usize) {
        let works = lock(&graph_of(child).nodes).concat();
        if flag("CHILD_UPDATE") { return INVALID_VALUE; }
        let mut nodes = lock(&graph_of(instance).nodes);
        if !matches!((&nodes[node - 1][..], &works[..]), ([Work::Product(_)], [Work::Product(_)])) { return INVALID_VALUE; }
        nodes[node - 1] = works;
        in_context()
    }
    cuGraphLaunch(instance: usize, stream: usize) {
        LAUNCHES.fetch_add(1, SeqCst);
        // What it consists of now: later words to its nodes do not reach a launch.
        let works = lock(&graph_of(instance).nodes).concat();
        works.into_iter().map(|work| submit(work, stream)).find(|code| *code != 0).unwrap_or(0)
    }
    cuGraphExecDestroy(instance: usize) {
        LEFT[GRAPH].fetch_sub(1, SeqCst);
        drop(Box::from_raw(instance as *mut Graph));
        in_context()
    }
    cuGraphDestroy(graph: usize) {
        LEFT[GRAPH].fetch_sub(1, SeqCst);
        drop(Box::from_raw(graph as *mut Graph));
        in_context()
    }
}
