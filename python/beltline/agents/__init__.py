"""Agents: asynchronous functions that consume a stream and may answer."""

from .agent import Agent
from .context import AgentTestContext
from .current import current_agent

__all__ = ["Agent", "AgentTestContext", "current_agent"]
