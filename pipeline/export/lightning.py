"""Writes code for Lightning. The code uses torch's schedulers, because Lightning has no schedules of its own."""

from typing import Any

from pipeline.export import average_code
from pipeline.export.formatting import Raw, call, lines
from pipeline.export.optimizer_code import optimizer
from pipeline.export.recipe import Recipe
from pipeline.export.scheduler_code import SchedulerCode
from pipeline.export.script import script

INDENT = 8
"""The number of spaces before each line in the body of a method."""
MODULE = """\
class Module(L.LightningModule):
    def __init__(self, model, loss_function):
        super().__init__()
        self.model = model
        self.loss_function = loss_function

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return self.loss_function(self.model(inputs), targets)
"""
VALIDATION = """
    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        self.log("val_loss", self.loss_function(self.model(inputs), targets))
"""
OWN = """
    def lr_scheduler_step(self, scheduler, metric):
        scheduler.step()  # Lightning asks for this method if a scheduler is not torch's
"""
SCHEDULE_FREE = """
    def on_train_batch_start(self, batch, batch_idx):
        for optimizer in self.trainer.optimizers:
            optimizer.train()

    def on_validation_start(self):
        for optimizer in self.trainer.optimizers:
            optimizer.eval()  # the average

    def on_train_epoch_end(self):
        self.on_validation_start()
"""
AVERAGE = '''\
class Average(WeightAveraging):
    """The mean of the weights after every epoch from {start} on.

    Before that epoch, validation uses the initial weights.
    """

    def should_update(self, step_idx=None, epoch_idx=None):
        return epoch_idx is not None and epoch_idx + 1 >= {start}
'''


def code(recipe: Recipe) -> str:
    """Return code that defines a LightningModule, with its optimizer and scheduler, and trains it with a Trainer."""
    validates = recipe.schedule.needs_val_loss
    if validates:
        lacks = "validation of the network itself before its average begins"
        average_code.refuse(recipe, "Lightning", "swa", lacks)
    scheduler = SchedulerCode(recipe)
    configured = lines(optimizer(recipe, "self"), "optimizer = ", indent=INDENT)
    if not recipe.has_scheduler:
        configured += lines(Raw("return optimizer"), indent=INDENT)
    else:
        configured += lines(scheduler.scheduler(), "scheduler = ", indent=INDENT)
        settings: dict[str, Any] = {"scheduler": Raw("scheduler"), "interval": "step" if recipe.by_batch else "epoch"}
        if validates:
            settings["monitor"] = "val_loss"
        configured += lines(settings, "lr = ", indent=INDENT)
        configured += lines(Raw('return {"optimizer": optimizer, "lr_scheduler": lr}'), indent=INDENT)
    hooks = SCHEDULE_FREE if recipe.is_schedule_free else ""
    module = (MODULE + (VALIDATION if validates else "") + hooks).splitlines()
    module += ["", "    def configure_optimizers(self):", *configured]
    if recipe.schedule.own:
        module += OWN.splitlines()
    loaders = "train_loader, val_loader" if validates else "train_loader"
    imports, body, callbacks = ["import lightning as L"], [], ""
    if recipe.average:
        kind = "WeightAveraging"
        if recipe.average["kind"] == "swa":
            kind, module = "Average", [*AVERAGE.format(**recipe.average).splitlines(), "", "", *module]
        made = call(kind, use_buffers=False, **average_code.function(recipe))
        body, callbacks = lines(made, "average = "), ", callbacks=average"
        imports.append("from lightning.pytorch.callbacks import WeightAveraging")
        imports += average_code.imports(recipe, "update_bn")
    body.append(f"trainer = L.Trainer(max_epochs=EPOCHS{callbacks})")
    body.append(f"trainer.fit(Module(model, loss_function), {loaders})")
    if recipe.average:
        body.append("update_bn(train_loader, model)  # for batch norm; the weights are the average")
    elif recipe.is_schedule_free:
        body.append("torch.optim.swa_utils.update_bn(train_loader, model)  # for batch norm")
    yours = f"model, loss_function{', train_loader and val_loader' if validates else ' and train_loader'}"
    return script(recipe, "Lightning", imports, [*scheduler.definitions(), *module, "", ""], body, yours)
