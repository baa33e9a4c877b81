"""Code for Lightning. It has no schedules of its own: it steps torch's."""

from pipeline.export.layout import Raw, lines, literal, mapping
from pipeline.export.optimizers import definitions, optimizer
from pipeline.export.page import SCHEDULERS, TORCH, page
from pipeline.export.recipe import Recipe
from pipeline.export.schedulers import Torch

LIGHTNING = "import lightning as L"
INDENT = 8
"""Columns before a line of a method."""
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


def code(recipe: Recipe) -> str:
    """Return a module whose `configure_optimizers` has the schedule, and the trainer that steps it."""
    torch = Torch(recipe)
    configured = lines(optimizer(recipe, "self"), "optimizer = ", indent=INDENT)
    if recipe.is_constant:
        configured += lines(Raw("return optimizer"), indent=INDENT)
    else:
        configured += lines(torch.scheduler(), "scheduler = ", indent=INDENT)
        settings = {
            "scheduler": Raw("scheduler"),
            "interval": literal("step" if recipe.by_batch else "epoch"),
        }
        if recipe.schedule.needs_val_loss:
            settings["monitor"] = literal("val_loss")
        configured += lines(mapping(settings), "lr = ", indent=INDENT)
        configured += lines(Raw('return {"optimizer": optimizer, "lr_scheduler": lr}'), indent=INDENT)
    validates = recipe.schedule.needs_val_loss
    module = (MODULE + (VALIDATION if validates else "")).splitlines()
    module += ["", "    def configure_optimizers(self):", *configured]
    if recipe.schedule.own:
        module += OWN.splitlines()
    loaders = "train_loader, val_loader" if validates else "train_loader"
    body = ["trainer = L.Trainer(max_epochs=EPOCHS)", f"trainer.fit(Module(model, loss_function), {loaders})"]
    yours = f"model, loss_function{', train_loader and val_loader' if validates else ' and train_loader'}"
    if recipe.is_constant:
        yours += ". The rate never changes"
    functions = [*definitions(recipe), *torch.definitions(), *module, "", ""]
    return page(recipe, "Lightning", [LIGHTNING, TORCH, SCHEDULERS, *torch.imports], functions, body, yours)
