//! Steps of training as CUDA graphs: the kernels of a step are held back and started with one call.
//!
//! Steps of one kind run the same kernels; a few arguments change (where the samples and losses are, the optimizer's
//! numbers). So a graph is made from the first step's list of launches and kept. Of every later step, its nodes are told only
//! the launches that differ from those of the step before.

use std::ptr;

use cudarc::driver::result::DriverError;
use cudarc::driver::sys::{self, CUfunction, CUgraph, CUgraphExec, CUgraphNode, CUresult, CUstream};

use super::super::gpu::driver::{Argument, Arguments};
use super::launch;

/// The oldest driver whose calls for graphs are those made here.
pub(super) const OLDEST: i32 = 12_000;
/// Kinds of steps that are kept: full batches, an epoch's last, those of another network beside this one.
const KEPT: usize = 4;
/// Launches that a step may hold back; more of them, and they go out one by one.
const MOST: usize = 1024;

/// The call that failed, and how.
pub(super) type Failure = (&'static str, CUresult);

/// A launch as CUDA takes it; arguments bit by bit, so that equal launches are equal.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Launch {
    function: CUfunction,
    grid: [u32; 3],
    items: u32,
    arguments: [u64; Arguments::MOST],
    count: usize,
}

impl Launch {
    pub fn new(function: CUfunction, groups: [usize; 2], items: usize, arguments: &[Argument]) -> Self {
        let mut words = [0; Arguments::MOST];
        words.iter_mut().zip(arguments).for_each(|(word, argument)| *word = launch::word(argument));
        Launch { function, grid: launch::grid(groups), items: items as u32, arguments: words, count: arguments.len() }
    }

    /// # Safety
    /// The arguments are those of the kernel, and the memory is alive until it has run.
    pub unsafe fn start(&self, stream: CUstream) -> Result<(), Failure> {
        let mut addresses = launch::addresses(&self.arguments[..self.count]);
        let ([x, y, z], arguments, extra) = (self.grid, addresses.as_mut_ptr(), ptr::null_mut());
        // SAFETY: the caller's promise.
        let launched =
            unsafe { sys::cuLaunchKernel(self.function, x, y, z, self.items, 1, 1, 0, stream, arguments, extra) };
        checked("cuLaunchKernel", launched)
    }

    /// Hands it to `take` as a graph's node has it.
    fn as_node<R>(&self, take: impl FnOnce(&sys::CUDA_KERNEL_NODE_PARAMS) -> R) -> R {
        let mut addresses = launch::addresses(&self.arguments[..self.count]);
        let [x, y, z] = self.grid;
        take(&sys::CUDA_KERNEL_NODE_PARAMS {
            func: self.function,
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: self.items,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: 0,
            kernelParams: addresses.as_mut_ptr(),
            extra: ptr::null_mut(),
            kern: ptr::null_mut(),
            ctx: ptr::null_mut(),
        })
    }
}

fn checked(call: &'static str, result: CUresult) -> Result<(), Failure> {
    result.result().map_err(|DriverError(code)| (call, code))
}

/// Kernels one after the other; `launches` is what the nodes were told last.
struct Graph {
    launches: Vec<Launch>,
    nodes: Vec<CUgraphNode>,
    graph: CUgraph,
    instance: CUgraphExec,
}

impl Graph {
    fn new(launches: &[Launch]) -> Result<Self, Failure> {
        let (nodes, graph, instance) = (Vec::with_capacity(launches.len()), ptr::null_mut(), ptr::null_mut());
        let mut made = Graph { launches: launches.to_vec(), nodes, graph, instance };
        // SAFETY: what is made here is dropped with `made`; nodes are those of this graph.
        unsafe {
            checked("cuGraphCreate", sys::cuGraphCreate(&mut made.graph, 0))?;
            for launch in launches {
                let (before, mut node) = (made.nodes.last().map_or(ptr::null(), ptr::from_ref), ptr::null_mut());
                let count = usize::from(!before.is_null());
                let added = launch.as_node(|it| sys::cuGraphAddKernelNode_v2(&mut node, made.graph, before, count, it));
                checked("cuGraphAddKernelNode", added)?;
                made.nodes.push(node);
            }
            checked("cuGraphInstantiate", sys::cuGraphInstantiateWithFlags(&mut made.instance, made.graph, 0))?;
        }
        Ok(made)
    }

    fn fits(&self, launches: &[Launch]) -> bool {
        let same = |(ours, theirs): (&Launch, &Launch)| ours.function == theirs.function;
        self.launches.len() == launches.len() && self.launches.iter().zip(launches).all(same)
    }

    /// Tells the nodes what is new. Work that was started before keeps what it was started with.
    fn tell(&mut self, launches: &[Launch]) -> Result<(), Failure> {
        for ((known, launch), node) in self.launches.iter_mut().zip(launches).zip(&self.nodes) {
            if known != launch {
                // SAFETY: the node is one of this graph's.
                let told =
                    launch.as_node(|it| unsafe { sys::cuGraphExecKernelNodeSetParams_v2(self.instance, *node, it) });
                checked("cuGraphExecKernelNodeSetParams", told)?;
                *known = *launch;
            }
        }
        Ok(())
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: ours. A failure leaves nobody anything to do.
        unsafe {
            if !self.instance.is_null() {
                let _ = sys::cuGraphExecDestroy(self.instance);
            }
            if !self.graph.is_null() {
                let _ = sys::cuGraphDestroy(self.graph);
            }
        }
    }
}

/// What is held back, and the graphs there are.
#[derive(Default)]
pub(super) struct Steps {
    /// Steps that have begun and not ended.
    open: usize,
    /// Something had to go out in the middle: the rest follows as it comes.
    is_broken: bool,
    held: Vec<Launch>,
    /// The oldest first.
    graphs: Vec<Graph>,
}

// SAFETY: CUDA's objects may be used by any thread that has made their context current.
unsafe impl Send for Steps {}

impl Steps {
    pub fn begin(&mut self) {
        self.open += 1;
    }

    /// Takes a launch, now or later.
    ///
    /// # Safety
    /// As [`Launch::start`]; memory is given back after [`Steps::flush`] alone.
    pub unsafe fn launch(&mut self, launch: Launch, stream: CUstream) -> Result<(), Failure> {
        if self.open > 0 && self.held.len() == MOST {
            self.flush(stream)?;
        }
        if self.open == 0 || self.is_broken {
            // SAFETY: the caller's promise.
            return unsafe { launch.start(stream) };
        }
        self.held.push(launch);
        Ok(())
    }

    /// Starts what is held back, before somebody waits for it or takes its memory.
    pub fn flush(&mut self, stream: CUstream) -> Result<(), Failure> {
        self.is_broken = self.open > 0;
        let mut done = Ok(());
        for launch in self.held.drain(..) {
            // SAFETY: promised when it was handed in.
            done = done.and_then(|()| unsafe { launch.start(stream) });
        }
        done
    }

    pub fn end(&mut self, stream: CUstream) -> Result<(), Failure> {
        self.open = self.open.saturating_sub(1);
        if self.open > 0 {
            return Ok(());
        }
        self.is_broken = false;
        if self.held.len() < 2 {
            return self.flush(stream);
        }
        let done = self.start_as_graph(stream);
        self.held.clear();
        done
    }

    fn start_as_graph(&mut self, stream: CUstream) -> Result<(), Failure> {
        let index = match self.graphs.iter().position(|graph| graph.fits(&self.held)) {
            Some(index) => {
                self.graphs[index].tell(&self.held)?;
                index
            }
            None => {
                if self.graphs.len() == KEPT {
                    self.graphs.remove(0);
                }
                self.graphs.push(Graph::new(&self.held)?);
                self.graphs.len() - 1
            }
        };
        // SAFETY: the launches' memory and arguments are as promised when they were handed in.
        checked("cuGraphLaunch", unsafe { sys::cuGraphLaunch(self.graphs[index].instance, stream) })
    }
}
