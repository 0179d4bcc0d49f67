//! Steps of training as CUDA graphs: the kernels of a step are held back and started with one call.
//!
//! A product of cuBLASLt is kernels that only the library knows. A stream of its own captures them, and they become a graph
//! within the graph.
//!
//! Steps of one kind run the same kernels; a few arguments change (where the samples and losses are, the optimizer's
//! numbers). So a graph is made from the first step's list of launches and kept. Of every later step, its nodes are told only
//! the launches that differ from those of the step before.

use std::ptr;

use cudarc::driver::result::DriverError;
use cudarc::driver::sys::{
    self, CUfunction, CUgraph, CUgraphExec, CUgraphNode, CUresult, CUstream,
};

use super::super::gpu::driver::{Argument, Arguments, LibraryProduct};
use super::capture::Captured;
use super::failure::Failure;
use super::launch;

/// The oldest driver whose calls for graphs are those made here.
pub(super) const OLDEST: i32 = 12_000;
/// Kinds of steps that are kept: full batches, an epoch's last, those of another network beside this one.
const KEPT: usize = 4;
/// Launches that a step may hold back; more of them, and they go out one by one.
const MOST: usize = 1024;

/// A launch as CUDA takes it; arguments bit by bit, so that equal launches are equal.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Launch {
    function: CUfunction,
    grid: [u32; 3],
    items: u32,
    arguments: [u64; Arguments::MAX],
    count: usize,
}

impl Launch {
    pub fn new(
        function: CUfunction,
        groups: [usize; 2],
        items: usize,
        arguments: &[Argument],
    ) -> Self {
        let mut words = [0; Arguments::MAX];
        words.iter_mut().zip(arguments).for_each(|(word, argument)| *word = launch::word(argument));
        Launch {
            function,
            grid: launch::grid(groups),
            items: items as u32,
            arguments: words,
            count: arguments.len(),
        }
    }

    /// # Safety
    /// The arguments are those of the kernel, and the memory is alive until it has run.
    pub unsafe fn start(&self, stream: CUstream) -> Result<(), Failure> {
        let mut addresses = launch::addresses(&self.arguments[..self.count]);
        let ([x, y, z], arguments, extra) = (self.grid, addresses.as_mut_ptr(), ptr::null_mut());
        // SAFETY: the caller's promise.
        let launched = unsafe {
            sys::cuLaunchKernel(
                self.function,
                x,
                y,
                z,
                self.items,
                1,
                1,
                0,
                stream,
                arguments,
                extra,
            )
        };
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

pub(super) fn checked(call: &'static str, result: CUresult) -> Result<(), Failure> {
    result.result().map_err(|DriverError(code)| Failure::Driver(call, code))
}

/// What a step is made of.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    Kernel(Launch),
    Product(LibraryProduct),
}

impl Work {
    /// Whether a graph's node for the one can be told to do the other.
    fn is_like(&self, other: &Work) -> bool {
        match (self, other) {
            (Work::Kernel(ours), Work::Kernel(theirs)) => ours.function == theirs.function,
            (Work::Product(ours), Work::Product(theirs)) => ours.shape == theirs.shape,
            _ => false,
        }
    }

    /// # Safety
    /// As [`Launch::start`].
    unsafe fn start(
        &self,
        library: &mut Option<Captured>,
        stream: CUstream,
    ) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        unsafe {
            match (self, library) {
                (Work::Kernel(launch), _) => launch.start(stream),
                (Work::Product(product), Some(library)) => library.cublaslt.start(product, stream),
                (Work::Product(_), None) => Ok(()),
            }
        }
    }
}

/// Kernels one after the other; `works` is what the nodes were told last.
struct Graph {
    works: Vec<Work>,
    nodes: Vec<CUgraphNode>,
    graph: CUgraph,
    instance: CUgraphExec,
}

impl Graph {
    fn new(works: &[Work], library: &mut Option<Captured>) -> Result<Self, Failure> {
        let (nodes, graph, instance) =
            (Vec::with_capacity(works.len()), ptr::null_mut(), ptr::null_mut());
        let mut made = Graph { works: works.to_vec(), nodes, graph, instance };
        // SAFETY: what is made here is dropped with `made`; nodes are those of this graph.
        unsafe {
            checked("cuGraphCreate", sys::cuGraphCreate(&mut made.graph, 0))?;
            for work in works {
                made.add(work, library)?;
            }
            checked(
                "cuGraphInstantiate",
                sys::cuGraphInstantiateWithFlags(&mut made.instance, made.graph, 0),
            )?;
        }
        Ok(made)
    }

    /// Adds a node behind the last.
    fn add(&mut self, work: &Work, library: &mut Option<Captured>) -> Result<(), Failure> {
        let (before, mut node) =
            (self.nodes.last().map_or(ptr::null(), ptr::from_ref), ptr::null_mut());
        let (graph, count) = (self.graph, usize::from(!before.is_null()));
        // SAFETY: the graph and its nodes are ours; a child is copied.
        unsafe {
            match (work, library) {
                (Work::Kernel(launch), _) => {
                    let added = launch.as_node(|it| {
                        sys::cuGraphAddKernelNode_v2(&mut node, graph, before, count, it)
                    });
                    checked("cuGraphAddKernelNode", added)?;
                }
                (Work::Product(product), Some(library)) => {
                    let child = library.capture(product)?;
                    let added =
                        sys::cuGraphAddChildGraphNode(&mut node, graph, before, count, child.0);
                    checked("cuGraphAddChildGraphNode", added)?;
                }
                (Work::Product(_), None) => return Ok(()),
            }
        }
        self.nodes.push(node);
        Ok(())
    }

    fn fits(&self, works: &[Work]) -> bool {
        self.works.len() == works.len()
            && self.works.iter().zip(works).all(|(ours, theirs)| ours.is_like(theirs))
    }

    /// Tells the nodes what is new. Work that was started before keeps what it was started with.
    fn tell(&mut self, works: &[Work], library: &mut Option<Captured>) -> Result<(), Failure> {
        for ((known, work), node) in self.works.iter_mut().zip(works).zip(&self.nodes) {
            if known == work {
                continue;
            }
            // SAFETY: the node is one of this graph's; a child is copied.
            unsafe {
                match (work, &mut *library) {
                    (Work::Kernel(launch), _) => {
                        let set = |it: &_| {
                            sys::cuGraphExecKernelNodeSetParams_v2(self.instance, *node, it)
                        };
                        checked("cuGraphExecKernelNodeSetParams", launch.as_node(set))?;
                    }
                    (Work::Product(product), Some(library)) => {
                        let child = library.capture(product)?;
                        let told =
                            sys::cuGraphExecChildGraphNodeSetParams(self.instance, *node, child.0);
                        checked("cuGraphExecChildGraphNodeSetParams", told)?;
                    }
                    (Work::Product(_), None) => {}
                }
            }
            *known = *work;
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
    held: Vec<Work>,
    /// The oldest first.
    graphs: Vec<Graph>,
    library: Option<Captured>,
}

// SAFETY: CUDA's objects may be used by any thread that has made their context current.
unsafe impl Send for Steps {}

impl Steps {
    pub fn new(library: Option<Captured>) -> Self {
        Steps { library, ..Steps::default() }
    }

    pub fn begin(&mut self) {
        self.open += 1;
    }

    /// Takes a launch, now or later.
    ///
    /// # Safety
    /// As [`Launch::start`]; memory is given back after [`Steps::flush`] alone.
    pub unsafe fn launch(&mut self, launch: Launch, stream: CUstream) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        unsafe { self.take(Work::Kernel(launch), stream) }
    }

    /// Takes a product, now or later; false where the library has no kernel for it.
    ///
    /// # Safety
    /// As [`Steps::launch`].
    pub unsafe fn product(
        &mut self,
        product: &LibraryProduct,
        stream: CUstream,
    ) -> Result<bool, Failure> {
        let Some(library) = &mut self.library else { return Ok(false) };
        if !library.cublaslt.plan(&product.shape)? {
            return Ok(false);
        }
        // SAFETY: the caller's promise.
        unsafe { self.take(Work::Product(*product), stream) }.map(|()| true)
    }

    unsafe fn take(&mut self, work: Work, stream: CUstream) -> Result<(), Failure> {
        if self.open > 0 && self.held.len() == MOST {
            self.flush(stream)?;
        }
        if self.open == 0 || self.is_broken {
            // SAFETY: the caller's promise.
            return unsafe { work.start(&mut self.library, stream) };
        }
        self.held.push(work);
        Ok(())
    }

    /// Starts what is held back, before somebody waits for it or takes its memory.
    pub fn flush(&mut self, stream: CUstream) -> Result<(), Failure> {
        self.is_broken = self.open > 0;
        let mut done = Ok(());
        for work in self.held.drain(..) {
            // SAFETY: promised when it was handed in.
            done = done.and_then(|()| unsafe { work.start(&mut self.library, stream) });
        }
        done
    }

    pub fn end(&mut self, stream: CUstream) -> Result<(), Failure> {
        self.open = self.open.saturating_sub(1);
        if self.open > 0 {
            return Ok(());
        }
        self.is_broken = false;
        if self.held.len() < 2 || !self.can_be_captured() {
            return self.flush(stream);
        }
        let done = self.start_as_graph(stream);
        self.held.clear();
        done
    }

    fn can_be_captured(&self) -> bool {
        self.held.iter().all(|work| match (work, &self.library) {
            (Work::Product(product), Some(library)) => library.cublaslt.has_run(&product.shape),
            _ => true,
        })
    }

    fn start_as_graph(&mut self, stream: CUstream) -> Result<(), Failure> {
        let known = self.graphs.iter().position(|graph| graph.fits(&self.held));
        // The library may take other kernels for other factors, which a graph cannot be told: a new one takes its place.
        let told = known.filter(|&index| {
            let told = self.graphs[index].tell(&self.held, &mut self.library).is_ok();
            if !told {
                self.graphs.remove(index);
            }
            told
        });
        let index = match told {
            Some(index) => index,
            None => {
                if self.graphs.len() == KEPT {
                    self.graphs.remove(0);
                }
                self.graphs.push(Graph::new(&self.held, &mut self.library)?);
                self.graphs.len() - 1
            }
        };
        // SAFETY: the launches' memory and arguments are as promised when they were handed in.
        checked("cuGraphLaunch", unsafe { sys::cuGraphLaunch(self.graphs[index].instance, stream) })
    }
}
