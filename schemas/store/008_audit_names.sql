-- Leakage checks are named by what they examine: labels.
update audits
set name = case name
    when 'answers shown' then 'visible labels'
    when 'changed answers' then 'changed labels'
    when 'later answers' then 'later labels'
    else 'averages of labels'
end
where name in ('answers shown', 'changed answers', 'later answers', 'averages of answers');
