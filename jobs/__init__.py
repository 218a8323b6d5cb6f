"""Whether the jobs of a CI file would run on an environment's fleets: `python -m jobs`.

Intent: an author knows before the push what the runner, Kubernetes and the autoscaler would do with a job.
Not here: GitLab and AWS. These modules read files alone, and import no cdktf.
"""
