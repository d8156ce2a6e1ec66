// The scratch of a pipeline, in memory that its caller gives: no call then allocates, and none of Halide's runtime is needed for it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "Halide.h"

namespace sepconv::compiler {

/// The pipeline's argument that points to the workspace.
class WorkspaceArgument {
public:
    WorkspaceArgument();
    Halide::Argument argument() const;
    Halide::Expr pointer() const;

private:
    Halide::Parameter parameter_;
};

/// Takes memory around a statement, which sees it under `name`; where there is none the function returns `failure`.
Halide::Internal::Stmt with_malloc(const std::string &name, const Halide::Expr &bytes, int failure, const Halide::Target &target,
                                   const Halide::Internal::Stmt &body);
/// Gives up what with_malloc has taken under `name`.
Halide::Internal::Stmt freed(const std::string &name, const Halide::Target &target);

/// A lowering pass: each allocation of a known size that is too large for registers gets a place in the workspace, one for each iteration
/// of the parallel loops around it. One whose size only the call knows, or that so many iterations have that they would fill memory, comes
/// from malloc. None is left to Halide's runtime. Assertions in kernels go, which cannot report anything.
class ScratchToWorkspace : public Halide::Internal::IRMutator {
public:
    /// @param failure  what the function returns where malloc has no memory
    ScratchToWorkspace(const WorkspaceArgument &workspace, const Halide::Target &target, int failure)
        : workspace_(workspace), target_(target), failure_(failure) {}
    std::int64_t bytes() const { return bytes_; }
    bool takes_memory() const { return !from_malloc_.empty(); }

private:
    using IRMutator::visit;
    Halide::Internal::Stmt visit(const Halide::Internal::For *loop) override;
    Halide::Internal::Stmt visit(const Halide::Internal::Allocate *allocation) override;
    Halide::Internal::Stmt visit(const Halide::Internal::Free *free) override;
    Halide::Internal::Stmt visit(const Halide::Internal::AssertStmt *assertion) override;

    struct Loop {
        std::string variable;
        Halide::Expr first;
        std::int64_t count;  // 0: not known
    };
    WorkspaceArgument workspace_;
    std::vector<Loop> parallel_;
    Halide::Target target_;
    int failure_;
    std::vector<std::string> moved_, from_malloc_;
    bool on_device_ = false;
    std::int64_t bytes_ = 0;
};

/// Names the function that parallel loops are handed to, where it is not Halide's.
/// @return whether the functions call Halide's runtime
bool finish(std::vector<Halide::Internal::LoweredFunc> &functions, const std::string &parallel_for);

}  // namespace sepconv::compiler
