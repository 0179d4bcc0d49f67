"""PyTorch's side of `scripts/gpu-check`: reads one request a line (JSON), answers with one line.

A request names its work, and what was built for it is kept, so that rounds can take turns with other programs:
{"task":"forward"|"train","sizes":[784,30,10],"activations":[..],"loss":"..","batch":10,
 "mode":"eager"|"compiled"|"graphs","precision":"f32"|"tf32"|"bf16"|"f16","seconds":1}
{"task":"product","m":..,"n":..,"k":..,"precision":..,"seconds":1}
An answer is {"us":..,"mode":..} or {"error":".."}; "us" is the median of calls that are waited for, one by one.
"""

import json
import statistics
import sys
import time

import torch

ACTIVATIONS = {"tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU, "identity": torch.nn.Identity}
HALVES = {"bf16": torch.bfloat16, "f16": torch.float16}
LEARNING_RATE = 1e-3
FEWEST = 5


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def network(request, device):
    sizes, modules = request["sizes"], []
    for inputs, outputs, activation in zip(sizes, sizes[1:], request["activations"]):
        modules += [torch.nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*modules).to(device)


def forward(request, device):
    net = network(request, device).eval()
    x = torch.rand(request["batch"], request["sizes"][0], device=device)
    if half := HALVES.get(request["precision"]):
        net, x = net.to(half), x.to(half)
    call = torch.compile(net) if request["mode"] == "compiled" else net

    def run():
        with torch.inference_mode():
            call(x)

    return run


def train(request, device):
    net = network(request, device)
    classes, batch = request["sizes"][-1], request["batch"]
    x = torch.rand(batch, request["sizes"][0], device=device)
    t = torch.randint(0, classes, (batch,), device=device)
    one_hot = torch.nn.functional.one_hot(t, classes).float()
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)

    def loss_of(x):
        with torch.autocast(device, torch.bfloat16, enabled=request["precision"] == "bf16"):
            y = net(x)
        if request["loss"] == "quadratic":
            return ((y - one_hot) ** 2).sum() / (2 * batch)
        return torch.nn.functional.cross_entropy(y.float(), t)

    loss = torch.compile(loss_of) if request["mode"] == "compiled" else loss_of

    def step():
        optimizer.zero_grad(set_to_none=request["mode"] != "graphs")
        loss(x).backward()
        optimizer.step()

    return captured(step) if request["mode"] == "graphs" else step


def captured(step):
    """The step as a CUDA graph, after the warm-up on another stream that PyTorch's documentation asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def product(request, device):
    m, n, k = request["m"], request["n"], request["k"]
    kind = HALVES.get(request["precision"], torch.float32)
    a, b = torch.rand(m, k, device=device).to(kind), torch.rand(k, n, device=device).to(kind)
    c = torch.empty(m, n, device=device, dtype=kind)
    return lambda: torch.mm(a, b, out=c)


def median_us(call, device, seconds):
    for _ in range(2):
        call()
        wait(device)
    times, end = [], time.perf_counter() + seconds
    while len(times) < FEWEST or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        wait(device)
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def main():
    device = sys.argv[1]
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU")
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "device": name}), flush=True)
    tasks, calls = {"forward": forward, "train": train, "product": product}, {}
    for line in sys.stdin:
        request = json.loads(line)
        seconds = request.pop("seconds")
        if device == "cpu" and request.get("mode") == "graphs":
            request["mode"] = "eager"
        try:
            # Set each time: graphs and compiled code remember it, the rest asks when it runs.
            torch.backends.cuda.matmul.allow_tf32 = request["precision"] == "tf32"
            key = json.dumps(request)
            if key not in calls:
                calls[key] = tasks[request["task"]](request, device)
            answer = {"us": median_us(calls[key], device, seconds), "mode": request.get("mode")}
        except Exception as error:  # One work that fails is one line without a figure.
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


main()
