"""The benchmarks of `scripts/gpu-check`: travertine compared with PyTorch."""

import json
import os
import select
import subprocess
import time

PRECISIONS = ["f32", "tf32", "bf16", "f16"]
ARTICLE = dict(sizes=[10000, 5000, 1000, 10], activations=["tanh", "sigmoid", "sigmoid"], loss="quadratic", batch=10000)
# Its first product alone: a layer without an activation.
LONE = dict(sizes=[10000, 5000], activations=["identity"], loss="quadratic", batch=10000)
CIRESAN = dict(
    sizes=[784, 2500, 2000, 1500, 1000, 500, 10], activations=["tanh"] * 5 + ["identity"], loss="cross-entropy", batch=512
)
LECUN = dict(sizes=[784, 300, 100, 10], activations=["relu", "relu", "identity"], loss="cross-entropy", batch=64)
NIELSEN = dict(sizes=[784, 30, 10], activations=["sigmoid"] * 2, loss="quadratic", batch=10)
TINY = dict(sizes=[4, 64, 64, 1], activations=["relu", "relu", "identity"], loss="quadratic", batch=32)


class Bench:
    """Ours and PyTorch's in turns, two rounds; a figure is the smaller of both rounds' medians, in microseconds."""

    def __init__(self, check):
        self.check, self.best, self.faults = check, {}, {}
        self.seconds = 0.2 if check.small else 1.0
        shrink = lambda work: {**work, "batch": min(work["batch"], 64)} if check.small else work
        names = ["article", "lone", "ciresan", "lecun", "nielsen", "tiny"]
        self.nets = dict(zip(names, map(shrink, [ARTICLE, LONE, CIRESAN, LECUN, NIELSEN, TINY])))
        # The measurements of PyTorch and of ours: (net, task, mode).
        self.works = [("article", "forward", "eager"), ("article", "forward", "compiled")]
        self.works += [("ciresan", "train", "eager"), ("ciresan", "train", "compiled")]
        self.works += [(net, "train", "graphs") for net in ["ciresan", "lecun"]] + [("nielsen", "train", "eager")]
        # Our kernels compared with cuBLASLt's, and a kernel for each layer compared with one for the network: for information only.
        self.alone = [("article", "forward"), ("ciresan", "train")]
        self.layers = [(net, task) for net in ["nielsen", "tiny", "lecun"] for task in ["forward", "train"]]

    def run(self):
        self.start_torch()
        for _ in range(2):
            for precision in PRECISIONS:
                seen = set()
                for net, task, mode in self.works:
                    if not is_asked(net, task, precision):
                        continue
                    if (net, task) not in seen:
                        self.ours(net, task, precision)
                    seen.add((net, task))
                    self.ask((net, task, mode, precision), {**self.nets[net], "task": task, "mode": mode})
                article = self.nets["article"]
                size = dict(m=article["batch"], n=article["sizes"][1], k=article["sizes"][0])
                self.ask(("product", "", "", precision), {**size, "task": "product"})
            # PyTorch may not be installed; cuBLASLt is the library that it would use.
            if self.check.cublaslt:
                self.ours("lone", "forward", "f32", "--library", "always")
            for net, task in self.alone:
                self.ours(net, task, "f32", "--library", "never")
            for net, task in self.layers:
                for fusion in ["never", "always"]:
                    self.ours(net, task, "f32", "--fusion", fusion)
        if self.torch:
            self.torch.stdin.close()
            self.torch.wait()
        self.judge()
        self.table()

    def start_torch(self):
        command = [self.check.python, self.check.folder / "gpu_check_torch.py", self.check.device.split(":")[0]]
        command[2] = "cuda" if command[2] == "cuda" else "cpu"
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(self.check.work / "inductor")}
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.torch = None
        try:
            self.torch = subprocess.Popen(list(map(str, command)), **pipes)
            hello = self.answer()
        except (OSError, TimeoutError) as error:
            hello = str(error)
        if not hello.startswith("{"):
            if self.torch:
                self.torch.kill()
            self.torch = None
            self.check.report("SKIPPED", "PyTorch", f"{self.check.python} has none that sees the device {hello.strip()}")
        else:
            print(f"PyTorch: {hello.strip()}")

    def ask(self, key, request):
        if not self.torch or key in self.faults:
            return
        if time.monotonic() > self.check.until:
            self.faults[key] = "time is up"
            return
        try:
            self.torch.stdin.write(json.dumps({**request, "precision": key[-1], "seconds": self.seconds}) + "\n")
            self.torch.stdin.flush()
            answer = json.loads(self.answer() or '{"error": "PyTorch ended"}')
        except (OSError, TimeoutError) as error:
            self.torch.kill()
            answer, self.torch = {"error": str(error)}, None
        self.keep(key, answer)

    def answer(self):
        """PyTorch's next line, if it comes in time: compilation can take minutes."""
        left = max(1, self.check.until - time.monotonic())
        if not select.select([self.torch.stdout], [], [], left)[0]:
            raise TimeoutError(f"time is up after {left:.0f} s")
        return self.torch.stdout.readline()

    def ours(self, net, task, precision, *options):
        key = (net, task, " ".join(options) or "ours", precision)
        work = self.nets[net]
        command = ["bench", task, "--network", "-".join(map(str, work["sizes"])), "--activations", ",".join(work["activations"])]
        command += ["--loss", work["loss"]]
        if work is ARTICLE:
            command = ["bench", "article"]
        command += ["--batch", str(work["batch"]), "--device", self.check.device, *options]
        if key not in self.faults:
            self.keep(key, self.check.travertine(*command, "--precision", precision))

    def keep(self, key, answer):
        if "us" in answer:
            self.best[key] = min(self.best.get(key, float("inf")), answer["us"])
        else:
            self.faults[key] = answer["error"]
            print(f"no figure: {' '.join(key)}: {answer['error']}", flush=True)

    def judge(self):
        article, report = self.nets["article"], self.check.report
        flops = sum(2 * a * b for a, b in zip(article["sizes"], article["sizes"][1:])) * article["batch"]
        product = 2 * article["batch"] * article["sizes"][0] * article["sizes"][1]
        ours = self.best.get(("article", "forward", "ours", "f32"))
        lone = [self.best.get(key) for key in [("product", "", "", "f32"), ("lone", "forward", "--library always", "f32")]]
        if ours and (lone := min(filter(None, lone), default=None)):
            share = 100 * (flops / ours) / (product / lone)
            detail = f"{share:.0f} % of cuBLAS, {flops / ours / 1e6:.1f} TFLOP/s, {ours / 1e3:.1f} ms; wanted 90 %"
            report("PASS" if share >= 90 else "MISSED", "article f32", detail)
        else:
            report("SKIPPED", "article f32 beside a lone product", "no figure of one of them")
        for precision in PRECISIONS:
            for net, task, mode in self.works:
                if is_asked(net, task, precision):
                    self.compare(net, task, mode, precision, 5 if net == "nielsen" else 1)

    def compare(self, net, task, mode, precision, wanted):
        what = f"{task} {net} {precision}, PyTorch {mode}"
        ours, theirs = (self.best.get((net, task, who, precision)) for who in ["ours", mode])
        if not ours:
            fault = self.faults.get((net, task, "ours", precision), "no figure")
            verdict = "SKIPPED" if self.check.fault({"error": fault}) == "SKIPPED" else "MISSED"
            return self.check.report(verdict, what, fault)
        if not theirs:
            return self.check.report("SKIPPED", what, self.faults.get((net, task, mode, precision), "no figure of PyTorch"))
        verdict = "PASS" if theirs / ours >= wanted else "MISSED"
        self.check.report(verdict, what, f"{ours:.1f} us beside {theirs:.1f}: {theirs / ours:.2f} times as fast, wanted {wanted}")

    def table(self):
        print("\n| work | precision | travertine us | PyTorch us | ratio |\n|---|---|---|---|---|")
        for net, task, mode in self.works:
            for precision in PRECISIONS:
                ours, theirs = (self.best.get((net, task, who, precision)) for who in ["ours", mode])
                if theirs:
                    us, ratio = (f"{ours:,.1f}", f"{theirs / ours:.2f}") if ours else ("-", "-")
                    batch = self.nets[net]["batch"]
                    print(f"| {task} {net}, batch {batch}; {mode} | {precision} | {us} | {theirs:,.1f} | {ratio} |")
        for net, task in self.alone:
            with_library, alone = (self.best.get((net, task, who, "f32")) for who in ["ours", "--library never"])
            if with_library and alone:
                print(f"{task} {net} f32: {alone:,.1f} us with our own kernels alone, {with_library:,.1f} with cuBLASLt where measured")
        for net, task in self.layers:
            layers, whole = (self.best.get((net, task, f"--fusion {fusion}", "f32")) for fusion in ["never", "always"])
            if layers and whole:
                print(f"{task} {net} f32: {layers:,.1f} us layer by layer, {whole:,.1f} where the network is one kernel, if it fits")


def is_asked(net, task, precision):
    """Half precision is not trained here: PyTorch's scaler cannot be captured in a graph."""
    return precision == "f32" or net != "nielsen" and (precision != "f16" or task == "forward")
