#!/usr/bin/env python3
"""Training steps of PyTorch, for the cases of `lathe bench gpu` without a quantizer.

The same graphs, batches, loss and optimizer (SGD, momentum 0.9, weight decay 5e-4), one fixed random batch on the device, no dropout; images
channels last. bf16 is autocast, tf32 allows it in products and convolutions. A line of JSON for each case and mode, an `error` where one failed;
the script goes on with the next. Exit code 1 when all of them failed.

  torch_train_step.py --list                       the cases, without torch
  torch_train_step.py --filter 'resnet20 bf16' --modes eager,compile,cudagraph
  torch_train_step.py --device cpu --filter 'mlp f32' --steps 1
"""
import argparse
import json
import statistics
import sys
import time

MODES = ("eager", "compile", "cudagraph")
PRECISIONS = ("bf16", "tf32", "f32")
LEAST_ROUNDS, MOST_ROUNDS, ROUNDS_SECONDS = 3, 7, 3.0
WARM_UP = 5

# name: (batches, what a step counts)
MODELS = {
    "resnet20": ((128, 512), "images"),
    "resnet18_cifar": ((128, 512), "images"),
    "mobilenetv1_cifar": ((128, 512), "images"),
    "resnet50": ((128,), "images"),
    "vit_tiny_p4": ((128, 512), "images"),
    "gpt4x256": ((128,), "tokens"),
    "gpt12x768": ((16,), "tokens"),
}
EXTRA = {"mlp": ((4,), "images")}  # only where a filter asks for it


def cases(filter_text):
    words = filter_text.split()
    table = dict(MODELS)
    if any("mlp".startswith(word) for word in words):
        table.update(EXTRA)
    found = []
    for precision in PRECISIONS:
        for model, (batches, unit) in table.items():
            for batch in batches:
                name = f"{model} b{batch} {precision} none"
                if all(" " + word in " " + name for word in words):
                    found.append({"case": name, "model": model, "batch": batch, "precision": precision, "unit": unit})
    return found


def define_models():
    """Classes need torch, which --list does without."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    def conv(inputs, outputs, kernel, stride=1, groups=1):
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)

    class PadShortcut(nn.Module):
        """Option A: every second pixel, zero channels on both sides."""

        def __init__(self, inputs, outputs):
            super().__init__()
            self.pad = (outputs - inputs) // 2

        def forward(self, x):
            return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))

    class Basic(nn.Module):
        def __init__(self, inputs, outputs, stride, project):
            super().__init__()
            self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
            self.conv2, self.bn2 = conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
            if stride == 1 and inputs == outputs:
                self.shortcut = nn.Identity()
            elif project:
                self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
            else:
                self.shortcut = PadShortcut(inputs, outputs)

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    class Bottleneck(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            outputs = 4 * width
            self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = conv(width, outputs, 1), nn.BatchNorm2d(outputs)
            self.shortcut = nn.Identity()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)))
            y = F.relu(self.bn2(self.conv2(y)))
            return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))

    class Pooled(nn.Module):
        """Features, their mean over the image, classes."""

        def __init__(self, features, width, classes):
            super().__init__()
            self.features, self.head = features, nn.Linear(width, classes)

        def forward(self, x):
            return self.head(self.features(x).mean((2, 3)))

    def cifar_resnet(widths, blocks, project):
        layers, inputs = [conv(3, widths[0], 3), nn.BatchNorm2d(widths[0]), nn.ReLU()], widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Basic(inputs, width, 2 if stage > 0 and block == 0 else 1, project))
                inputs = width
        return Pooled(nn.Sequential(*layers), inputs, 10)

    def resnet50():
        layers, inputs = [conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
        for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
            for block in range(blocks):
                layers.append(Bottleneck(inputs, width, 2 if stage > 0 and block == 0 else 1))
                inputs = 4 * width
        return Pooled(nn.Sequential(*layers), inputs, 1000)

    def mobilenet():
        layers, inputs = [conv(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU()], 32
        for width, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1),
                              (512, 1), (512, 1), (1024, 2), (1024, 1)):
            layers += [conv(inputs, inputs, 3, stride, inputs), nn.BatchNorm2d(inputs), nn.ReLU(),
                       conv(inputs, width, 1), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        return Pooled(nn.Sequential(*layers), inputs, 10)

    class Norm(nn.Module):
        """Layer norm; nn.LayerNorm has no `bias` in older versions."""

        def __init__(self, width, eps=1e-5, bias=True):
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(width)), eps
            self.bias = nn.Parameter(torch.zeros(width)) if bias else None

        def forward(self, x):
            return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)

    class Block(nn.Module):
        """A pre-norm transformer block."""

        def __init__(self, width, heads, causal, bias, eps):
            super().__init__()
            self.heads, self.causal = heads, causal
            self.norm1, self.norm2 = Norm(width, eps, bias), Norm(width, eps, bias)
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)
            self.fc1, self.fc2 = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)

        def forward(self, x):
            n, t, width = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
            x = x + self.out(y.transpose(1, 2).reshape(n, t, width))
            return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))

    class Vit(nn.Module):
        def __init__(self, image=32, patch=4, width=192, depth=12, heads=3, classes=10):
            super().__init__()
            self.patches = nn.Conv2d(3, width, patch, patch)
            self.cls = nn.Parameter(torch.zeros(1, 1, width))
            self.positions = nn.Parameter(0.02 * torch.randn(1, (image // patch) ** 2 + 1, width))
            self.blocks = nn.Sequential(*[Block(width, heads, False, True, 1e-6) for _ in range(depth)])
            self.norm, self.head = Norm(width, 1e-6), nn.Linear(width, classes)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.positions
            return self.head(self.norm(self.blocks(x)[:, 0]))

    class Gpt(nn.Module):
        def __init__(self, vocab, context, layers, heads, width):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(context, width)
            self.blocks = nn.Sequential(*[Block(width, heads, True, False, 1e-5) for _ in range(layers)])
            self.norm, self.head = Norm(width, bias=False), nn.Linear(width, vocab, bias=False)
            for module in self.modules():
                if isinstance(module, (nn.Linear, nn.Embedding)):
                    nn.init.normal_(module.weight, std=0.02)
            self.head.weight = self.tokens.weight

        def forward(self, x):
            return self.head(self.norm(self.blocks(self.tokens(x) + self.positions.weight[:x.shape[1]])))

    def mlp():
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(),
                             nn.Linear(100, 10))

    # name: (model, shape of a sample, classes)
    return {
        "mlp": (mlp, (1, 28, 28), 10),
        "resnet20": (lambda: cifar_resnet((16, 32, 64), 3, False), (3, 32, 32), 10),
        "resnet18_cifar": (lambda: cifar_resnet((64, 128, 256, 512), 2, True), (3, 32, 32), 10),
        "mobilenetv1_cifar": (mobilenet, (3, 32, 32), 10),
        "resnet50": (resnet50, (3, 224, 224), 1000),
        "vit_tiny_p4": (Vit, (3, 32, 32), 10),
        "gpt4x256": (lambda: Gpt(256, 128, 4, 4, 256), (128,), 256),
        "gpt12x768": (lambda: Gpt(50304, 512, 12, 12, 768), (512,), 50304),
    }


class Job:
    """A model in training. step() gives a step to the device and returns its loss there."""

    def __init__(self, torch, models, case, mode, options):
        make, sample, classes = models[case["model"]]
        self.torch, self.case, self.device = torch, case, torch.device(options.device)
        torch.manual_seed(0)
        batch = case["batch"]
        self.model = make().to(self.device).train()
        if len(sample) == 3:
            self.model = self.model.to(memory_format=torch.channels_last)
            x = torch.randn(batch, *sample, device=self.device)
            self.x = x.contiguous(memory_format=torch.channels_last)
            self.y = torch.randint(0, classes, (batch,), device=self.device)
            self.units = batch
        else:
            self.x = torch.randint(0, classes, (batch, *sample), device=self.device)
            self.y = torch.randint(0, classes, (batch, *sample), device=self.device)
            self.units = batch * sample[0]
        allowed = case["precision"] == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cudnn.benchmark = True
        self.optimizer = self.sgd(options.optimizer if self.device.type == "cuda" else "foreach")
        self.compute = self.differentiate
        self.graph = None
        if mode == "compile":
            compiled = torch.compile(self.model, mode=options.compile_mode)
            self.compute = lambda: self.differentiate(compiled)
        for _ in range(WARM_UP if mode != "cudagraph" else 0):
            self.plain_step()
        if mode == "cudagraph":
            self.record()

    def sgd(self, kind):
        arguments = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}
        try:
            return self.torch.optim.SGD(self.model.parameters(), **arguments, **{kind: True})
        except TypeError:  # an older version has no fused update
            return self.torch.optim.SGD(self.model.parameters(), **arguments, foreach=True)

    def differentiate(self, model=None):
        torch = self.torch
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.case["precision"] == "bf16"):
            output = (self.model if model is None else model)(self.x)
            loss = torch.nn.functional.cross_entropy(output.flatten(0, -2), self.y.flatten())
        loss.backward()
        return loss.detach()

    def plain_step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.compute()
        self.optimizer.step()
        return loss

    def record(self):
        """The whole step, optimizer included, as the documentation of torch.cuda.CUDAGraph shows it."""
        torch = self.torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.plain_step()
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.compute()
            self.optimizer.step()

    def step(self):
        if self.graph is None:
            return self.plain_step()
        self.graph.replay()
        return self.loss

    def wait(self):
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()


def time_case(torch, models, case, mode, options):
    cuda = options.device.startswith("cuda")
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    job = Job(torch, models, case, mode, options)
    job.wait()
    prepared = time.perf_counter() - begin
    seconds, begin = [], time.perf_counter()
    while len(seconds) < MOST_ROUNDS:
        if len(seconds) >= LEAST_ROUNDS and time.perf_counter() - begin > ROUNDS_SECONDS:
            break
        job.wait()
        start = time.perf_counter()
        for _ in range(options.steps):
            loss = job.step()
        job.wait()
        seconds.append((time.perf_counter() - start) / options.steps)
    median = statistics.median(seconds)
    mib = torch.cuda.max_memory_allocated() / 2**20 if cuda else 0
    return {"ms_median": 1e3 * median, "ms_best": 1e3 * min(seconds), "unit": case["unit"],
            "per_second": job.units / median, "mib": mib, "loss": loss.item(), "prepare_s": prepared,
            "parameters": sum(p.numel() for p in job.model.parameters())}


def run(options):
    import torch
    models = define_models()
    begin = time.perf_counter()
    timed = failed = 0
    for mode in options.modes:
        for case in cases(options.filter):
            row = {"bench": "torch", "peer": "torch " + torch.__version__, "case": case["case"], "mode": mode,
                   "model": case["model"], "batch": case["batch"], "precision": case["precision"], "quant": "none"}
            if options.seconds and time.perf_counter() - begin > options.seconds:
                row["error"] = "not run: the time is up"
            else:
                try:
                    row.update(time_case(torch, models, case, mode, options))
                    timed += 1
                except Exception as error:  # whatever it is, other cases may work
                    row["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
                    failed += 1
                if mode == "compile" and hasattr(torch, "_dynamo"):
                    torch._dynamo.reset()
            print(json.dumps(row, separators=(",", ":")), flush=True)
    return 0 if timed or not failed else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--filter", default="", help="words of a case's name, or their beginnings")
    parser.add_argument("--modes", default=",".join(MODES), help="of " + ", ".join(MODES) + "; in this order")
    parser.add_argument("--steps", type=int, default=20, help="steps of a round")
    parser.add_argument("--seconds", type=float, default=0, help="start no case after so long; 0: no limit")
    parser.add_argument("--device", default="cuda:0", help="cuda:N or cpu")
    parser.add_argument("--optimizer", default="fused", choices=("fused", "foreach"))
    parser.add_argument("--compile-mode", default="default", help="torch.compile's mode")
    options = parser.parse_args()
    options.modes = [mode for mode in options.modes.split(",") if mode]
    unknown = [mode for mode in options.modes if mode not in MODES]
    if unknown:
        parser.error(f"there is no mode {unknown[0]}")
    if options.list:
        for case in cases(options.filter):
            print(json.dumps(case, separators=(",", ":")))
        return 0
    try:
        return run(options)
    except ImportError as error:
        print(f"torch_train_step: error: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
