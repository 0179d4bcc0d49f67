//! Steps of training as CUDA graphs: the kernels of a step are held back and started with one call.
//!
//! Steps of one kind run the same kernels; a few arguments change (the offsets of samples and losses, the optimizer's
//! numbers). So a graph is made from the first step's list of launches and kept. For every later step, only the nodes are updated whose
//! launches differ from those of the step before. Numbers that change therefore need no device memory, and kernels do not depend on graphs.
//!
//! A product of cuBLASLt is a graph within the graph; see `capture.rs`.

use std::ptr;

use cudarc::driver::sys::{self, CUfunction, CUgraph, CUgraphExec, CUgraphNode, CUstream};

use super::capture::Captured;
use super::failure::{Failure, checked};
use super::launch;
use crate::engine::gpu::driver::{Argument, Arguments, LibraryProduct};

/// The oldest driver that has the calls for graphs that are made here; as CUDA numbers versions.
pub(super) const MIN_DRIVER: i32 = 12_000;
/// Graphs that are kept: for full batches, for an epoch's last batch, and as many for another network.
const MAX_GRAPHS: usize = 4;
/// Launches that a step holds back. More than these are started one by one.
const MAX_HELD: usize = 1024;

/// A launch in CUDA's form, with the bits of its arguments, so that equal launches compare equal.
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

    /// Launches the kernel.
    ///
    /// # Safety
    /// The arguments are those of the kernel, and the memory is alive until it has run.
    pub unsafe fn start(&self, stream: CUstream) -> Result<(), Failure> {
        let mut addresses = launch::addresses(&self.arguments[..self.count]);
        let ([x, y, z], arguments, extra) = (self.grid, addresses.as_mut_ptr(), ptr::null_mut());
        // SAFETY: arguments and memory are as the caller promises.
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

    /// Calls `use_node` with the launch in the form of a graph's node.
    fn with_node<R>(&self, use_node: impl FnOnce(&sys::CUDA_KERNEL_NODE_PARAMS) -> R) -> R {
        let mut addresses = launch::addresses(&self.arguments[..self.count]);
        let [x, y, z] = self.grid;
        use_node(&sys::CUDA_KERNEL_NODE_PARAMS {
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

/// A part of a step.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    Kernel(Launch),
    Product(LibraryProduct),
}

impl Work {
    /// Whether a graph's node for `self` can be updated to do `other`.
    fn is_like(&self, other: &Work) -> bool {
        match (self, other) {
            (Work::Kernel(ours), Work::Kernel(theirs)) => ours.function == theirs.function,
            (Work::Product(ours), Work::Product(theirs)) => ours.shape == theirs.shape,
            _ => false,
        }
    }

    /// Starts the work outside of a graph.
    ///
    /// # Safety
    /// As [`Launch::start`].
    unsafe fn start(
        &self,
        library: &mut Option<Captured>,
        stream: CUstream,
    ) -> Result<(), Failure> {
        // SAFETY: arguments and memory are as the caller promises.
        unsafe {
            match (self, library) {
                (Work::Kernel(launch), _) => launch.start(stream),
                (Work::Product(product), Some(library)) => library.cublaslt.start(product, stream),
                (Work::Product(_), None) => Ok(()),
            }
        }
    }
}

/// A chain of kernels and products; `works` is what its nodes do now.
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
        // SAFETY: what is made here is destroyed with `made`; nodes are those of this graph.
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

    /// Adds a node that depends on the last.
    fn add(&mut self, work: &Work, library: &mut Option<Captured>) -> Result<(), Failure> {
        let (before, mut node) =
            (self.nodes.last().map_or(ptr::null(), ptr::from_ref), ptr::null_mut());
        let (graph, count) = (self.graph, usize::from(!before.is_null()));
        // SAFETY: the graph and its nodes are ours; a child is copied.
        unsafe {
            match (work, library) {
                (Work::Kernel(launch), _) => {
                    let added = launch.with_node(|it| {
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

    /// Whether the graph can be updated to a step.
    fn fits(&self, works: &[Work]) -> bool {
        self.works.len() == works.len()
            && self.works.iter().zip(works).all(|(ours, theirs)| ours.is_like(theirs))
    }

    /// Updates the nodes whose work has changed. A run that was started before keeps its arguments.
    fn update(&mut self, works: &[Work], library: &mut Option<Captured>) -> Result<(), Failure> {
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
                        checked("cuGraphExecKernelNodeSetParams", launch.with_node(set))?;
                    }
                    (Work::Product(product), Some(library)) => {
                        let child = library.capture(product)?;
                        let updated =
                            sys::cuGraphExecChildGraphNodeSetParams(self.instance, *node, child.0);
                        checked("cuGraphExecChildGraphNodeSetParams", updated)?;
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
        // SAFETY: it is ours, and not used any more. A failure has no cure.
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

/// The work that is held back, and the graphs that are kept.
#[derive(Default)]
pub(super) struct Steps {
    /// Steps that have begun and not ended.
    open: usize,
    /// Whether work was started in the middle of the step: the rest of the step is started one by one.
    is_broken: bool,
    held: Vec<Work>,
    /// In the order in which they were made.
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

    /// Starts a launch, or holds it back.
    ///
    /// # Safety
    /// As [`Launch::start`]; memory is freed only after [`Steps::flush`].
    pub unsafe fn launch(&mut self, launch: Launch, stream: CUstream) -> Result<(), Failure> {
        // SAFETY: arguments and memory are as the caller promises.
        unsafe { self.accept(Work::Kernel(launch), stream) }
    }

    /// Starts a product, or holds it back; false where the library has no kernel for it.
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
        // SAFETY: arguments and memory are as the caller promises.
        unsafe { self.accept(Work::Product(*product), stream) }.map(|()| true)
    }

    unsafe fn accept(&mut self, work: Work, stream: CUstream) -> Result<(), Failure> {
        if self.open > 0 && self.held.len() == MAX_HELD {
            self.flush(stream)?;
        }
        if self.open == 0 || self.is_broken {
            // SAFETY: arguments and memory are as the caller promises.
            return unsafe { work.start(&mut self.library, stream) };
        }
        self.held.push(work);
        Ok(())
    }

    /// Starts the work that is held back, before a call that waits, reads or frees.
    pub fn flush(&mut self, stream: CUstream) -> Result<(), Failure> {
        self.is_broken = self.open > 0;
        let mut done = Ok(());
        for work in self.held.drain(..) {
            // SAFETY: arguments and memory are as promised when the work was held back.
            done = done.and_then(|()| unsafe { work.start(&mut self.library, stream) });
        }
        done
    }

    /// Ends a step: starts the work that is held back as a graph, or one by one if it is not worth one.
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

    /// Whether all products have run before; see `capture.rs`.
    fn can_be_captured(&self) -> bool {
        self.held.iter().all(|work| match (work, &self.library) {
            (Work::Product(product), Some(library)) => library.cublaslt.has_run(&product.shape),
            _ => true,
        })
    }

    fn start_as_graph(&mut self, stream: CUstream) -> Result<(), Failure> {
        let known = self.graphs.iter().position(|graph| graph.fits(&self.held));
        // The library may choose other kernels for other factors, to which a graph cannot be updated: a new one replaces it.
        let updated = known.filter(|&index| {
            let updated = self.graphs[index].update(&self.held, &mut self.library).is_ok();
            if !updated {
                self.graphs.remove(index);
            }
            updated
        });
        let index = match updated {
            Some(index) => index,
            None => {
                if self.graphs.len() == MAX_GRAPHS {
                    self.graphs.remove(0);
                }
                self.graphs.push(Graph::new(&self.held, &mut self.library)?);
                self.graphs.len() - 1
            }
        };
        // SAFETY: arguments and memory are as promised when the work was held back.
        checked("cuGraphLaunch", unsafe { sys::cuGraphLaunch(self.graphs[index].instance, stream) })
    }
}
